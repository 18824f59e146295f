"""Idempotency keys expire after a day."""

from datetime import timedelta

import pytest
from fastapi import Response
from pydantic import BaseModel
from sqlmodel import Session, select

from app.kit import idempotency
from app.kit.idempotency import LIFETIME, Attempt, IdempotencyKeyReused, IdempotencyRecord
from app.kit.models import now

MINUTE = timedelta(minutes=1)


class Done(BaseModel):
    """An answer."""

    by: str


def once(session: Session, by: str, fingerprint: str = "f") -> tuple[str, bool]:
    """Send a request with the same key; return the answer's content, and whether it is marked as replayed."""
    response = Response()
    done = Attempt("key", fingerprint, response).once(session, "anonymous", Done, lambda: Done(by=by))
    return done.by, response.headers.get("Idempotency-Replayed") == "true"


def set_age(session: Session, age: timedelta) -> None:
    """Change the age of the only stored answer."""
    session.exec(select(IdempotencyRecord)).one().created_at = now() - age
    session.flush()


def test_key_expires_after_a_day(session: Session) -> None:
    assert once(session, "first") == ("first", False)
    set_age(session, LIFETIME - MINUTE)
    assert once(session, "second") == ("first", True)
    with pytest.raises(IdempotencyKeyReused):
        once(session, "second", "another request")
    set_age(session, LIFETIME + MINUTE)
    assert once(session, "third", "another request") == ("third", False)
    assert once(session, "fourth", "another request") == ("third", True)


def test_prune_deletes_expired_answers_in_batches(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PRUNE", 2)
    for number, age in enumerate((-MINUTE, MINUTE, MINUTE, MINUTE)):
        record = IdempotencyRecord(scope="anonymous", key=str(number), fingerprint="f", answer="{}")
        record.created_at = now() - LIFETIME - age
        session.add(record)
    session.flush()
    assert [idempotency.prune(session) for _ in range(3)] == [2, 1, 0]
    assert [record.key for record in session.exec(select(IdempotencyRecord))] == ["0"]
