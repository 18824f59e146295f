"""Deletion of expired sessions and tokens."""

from datetime import timedelta

import pytest
from sqlmodel import Session, select

from app.accounts import housekeeping
from app.accounts.models import LoginSession, OneTimeToken, RefreshToken, TokenPurpose, UserAccount
from app.kit.models import now

ENDED, LIVING = -timedelta(minutes=1), timedelta(hours=1)


def test_prune_deletes_only_expired_rows(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH_SIZE", 2)
    account = UserAccount(email="a@example.com", password_hash="!", full_name="A")
    session.add(account)
    session.flush()
    for number, left in enumerate((ENDED, ENDED, ENDED, LIVING)):
        login = LoginSession(account_id=account.id, user_agent=f"{number}", expires_at=now() + left)
        session.add(login)
        session.flush()
        session.add_all(RefreshToken(token_hash=f"{number}{each}", session_id=login.id) for each in range(3))
        session.add(
            OneTimeToken(
                token_hash=f"{number}",
                account_id=account.id,
                purpose=TokenPurpose.VERIFY_EMAIL,
                email=account.email,
                expires_at=now() + left,
            )
        )
        session.flush()
    deleted = []
    while count := housekeeping.prune(session):
        deleted.append(count)
    assert sum(deleted) == 3 + 3 * 3 + 3
    assert max(deleted) <= 3 * 2
    assert [each.user_agent for each in session.exec(select(LoginSession))] == ["3"]
    assert sorted(each.token_hash for each in session.exec(select(RefreshToken))) == ["30", "31", "32"]
    assert [each.token_hash for each in session.exec(select(OneTimeToken))] == ["3"]
