"""Takes away what nobody can use any more."""

from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.accounts.models import LoginSession, OneTimeToken, RefreshToken
from app.kit.models import now

BATCH = 500
"""Rows of a table that one round deletes at most, so that no write waits long for it."""


def prune(session: Session) -> int:
    """Delete expired sessions with their refresh tokens, and expired one-time tokens; returns how many rows.

    Call it again while it returns something.
    """
    expired = select(LoginSession.id).where(LoginSession.expires_at < now()).limit(BATCH)
    ended = list(session.exec(expired))
    tokens = select(RefreshToken.token_hash).where(col(RefreshToken.session_id).in_(ended)).limit(BATCH)
    deleted = _delete(session, col(RefreshToken.token_hash), list(session.exec(tokens)))
    if deleted < BATCH:
        # All tokens of these sessions are gone: the cascade finds nothing more.
        deleted += _delete(session, col(LoginSession.id), ended)
    codes = select(OneTimeToken.token_hash).where(OneTimeToken.expires_at < now()).limit(BATCH)
    return deleted + _delete(session, col(OneTimeToken.token_hash), list(session.exec(codes)))


def _delete(session: Session, key: Any, values: list[str]) -> int:  # noqa: ANN401  # any table's primary key
    if values:
        session.execute(delete(key.class_).where(key.in_(values)))
    return len(values)
