"""`Idempotency-Key`: a repeated request gets the first one's answer, and nothing happens twice.

The key is stored in the transaction that does the work, so there is no moment at which one is there without
the other, whatever is killed when. See draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import Index, String, Text, delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, select

from app.kit.models import UtcDateTime, now
from app.kit.problems import Problem

Answer = TypeVar("Answer", bound=BaseModel)

LIFETIME = timedelta(hours=24)
PRUNE = 500
"""Rows that one round of pruning deletes at most, so that no write waits long for it."""


class IdempotencyKeyReused(Problem):
    """The key belongs to a request with another content."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "idempotency-key-reused"
    title = "The Idempotency-Key was used for another request"
    explanation = "Make a new key for each new request; repeat a key only with exactly the same request."


class RequestInProgress(Problem):
    """The same key has been used by a request that was answered at this very moment."""

    status = HTTPStatus.CONFLICT
    slug = "request-in-progress"
    title = "The same request is under way"
    explanation = "Repeat the request with the same key in a moment to get its answer."
    retry_after = 1


KEYED: tuple[type[Problem], ...] = (IdempotencyKeyReused, RequestInProgress)
"""What an operation with Idempotency-Key can answer with."""


class IdempotencyRecord(SQLModel, table=True):
    """The answer to a request that was sent with a key."""

    __tablename__: ClassVar[str] = "idempotency_record"
    __table_args__ = (Index(None, "created_at"), Index(None, "about_id"))

    scope: str = Field(sa_type=String(36), primary_key=True)
    """The account, or "anonymous"."""
    about_id: str | None = Field(default=None, sa_type=String(36))
    """Another person, whom the answer tells of: it goes with their account."""
    key: str = Field(sa_type=String(255), primary_key=True)
    fingerprint: str = Field(sa_type=String(64))
    answer: str = Field(sa_type=Text, repr=False)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Attempt:
    """One request that may be a repetition."""

    def __init__(self, key: str | None, fingerprint: str, response: Response) -> None:
        self._key = key
        self._fingerprint = fingerprint
        self._response = response

    def once(
        self,
        session: Session,
        scope: str,
        answer: type[Answer],
        work: Callable[[], Answer],
        *,
        about_id: str | None = None,
    ) -> Answer:
        """In a write transaction: do the work, or return what it answered the first time.

        Args:
            session: the one that `work` writes with.
            scope: whose keys these are: the account's id, or "anonymous".
            answer: the type of what `work` returns.
            work: writes, and returns the answer.
            about_id: the account of another person, whom the answer tells of.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
            RequestInProgress: another transaction does the same at the same time; only where several can write.
        """
        if self._key is None:
            return work()
        known = session.get(IdempotencyRecord, (scope, self._key))
        if known is not None and known.created_at > now() - LIFETIME:
            if not hmac.compare_digest(known.fingerprint, self._fingerprint):
                raise IdempotencyKeyReused
            self._response.headers["Idempotency-Replayed"] = "true"
            return answer.model_validate_json(known.answer)
        if known is not None:
            session.delete(known)
            session.flush()
        done = work()
        session.add(
            IdempotencyRecord(
                scope=scope,
                key=self._key,
                about_id=about_id,
                fingerprint=self._fingerprint,
                answer=done.model_dump_json(by_alias=True),
            )
        )
        try:
            session.flush()
        except IntegrityError as error:
            raise RequestInProgress from error
        return done


_HEADER = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=255,
    pattern=r"^[\x21-\x7e]+$",
    description="A random value of your own for each new request, for example a UUID. Repeat the request with the "
    "same key when no answer came: it takes effect once. Kept for 24 hours.",
    examples=["3f6c0c2e-5d0d-4c53-9a5b-6d1f0f6a9b11"],
)
IdempotencyKey = Annotated[str, _HEADER]
OptionalIdempotencyKey = Annotated[str | None, _HEADER]
"""Not `IdempotencyKey | None`: within a union the framework would not see the header."""


async def attempt(request: Request, response: Response, key: OptionalIdempotencyKey = None) -> Attempt:
    """Dependency: the request may carry a key."""
    return Attempt(key, await _fingerprint(request), response)


async def attempt_with_key(request: Request, response: Response, key: IdempotencyKey) -> Attempt:
    """Dependency: the request must carry a key."""
    return Attempt(key, await _fingerprint(request), response)


InAttempt = Annotated[Attempt, Depends(attempt)]
InAttemptWithKey = Annotated[Attempt, Depends(attempt_with_key)]


async def _fingerprint(request: Request) -> str:
    """What makes two requests the same. Keyed with SECRET_KEY, for a body may hold a password."""
    secret = request.app.state.services.settings.secret_key.get_secret_value().encode()
    content = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return hmac.new(secret, content, hashlib.sha256).hexdigest()


def forget(session: Session, account_id: str) -> None:
    """Delete all answers kept for an account, or for others about it: they hold personal data."""
    for column in (col(IdempotencyRecord.scope), col(IdempotencyRecord.about_id)):
        session.execute(delete(IdempotencyRecord).where(column == account_id))


def prune(session: Session) -> int:
    """Delete answers older than LIFETIME, PRUNE at most; returns how many."""
    old = session.exec(
        select(IdempotencyRecord).where(col(IdempotencyRecord.created_at) < now() - LIFETIME).limit(PRUNE)
    ).all()
    for record in old:
        session.delete(record)
    return len(old)
