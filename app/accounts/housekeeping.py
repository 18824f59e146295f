"""Deletion of expired sessions and tokens."""

from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.accounts.models import LoginSession, OneTimeToken, RefreshToken
from app.kit.models import now

BATCH_SIZE = 500
"""Maximum number of rows that one call deletes from a table. Limits how long other writes wait."""


def prune(session: Session) -> int:
    """Delete expired sessions with their refresh tokens, and expired one-time tokens.

    Returns:
        Number of deleted rows. Call again until it is 0.
    """
    expired = select(LoginSession.id).where(LoginSession.expires_at < now()).limit(BATCH_SIZE)
    ended = list(session.exec(expired))
    tokens = select(RefreshToken.token_hash).where(col(RefreshToken.session_id).in_(ended)).limit(BATCH_SIZE)
    deleted = _delete(session, col(RefreshToken.token_hash), list(session.exec(tokens)))
    if deleted < BATCH_SIZE:
        # All refresh tokens of these sessions are deleted, so the cascade deletes nothing more.
        deleted += _delete(session, col(LoginSession.id), ended)
    codes = select(OneTimeToken.token_hash).where(OneTimeToken.expires_at < now()).limit(BATCH_SIZE)
    return deleted + _delete(session, col(OneTimeToken.token_hash), list(session.exec(codes)))


def _delete(session: Session, key: Any, values: list[str]) -> int:  # noqa: ANN401  # any table's primary key
    if values:
        session.execute(delete(key.class_).where(key.in_(values)))
    return len(values)
