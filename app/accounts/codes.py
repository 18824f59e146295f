"""One-time tokens. The user gets the secret; the database stores only its hash."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col

from app.accounts.models import OneTimeToken, TokenPurpose, UserAccount
from app.kit.models import now

SECRET_BYTES = 32


def new_secret() -> str:
    """Generate a random, URL-safe secret of 43 characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def derive_secret(key: str, purpose: str, secret: str) -> str:
    """Derive a secret of 43 characters from another secret with HMAC-SHA256. Equal arguments give equal results.

    Args:
        key: SECRET_KEY.
        purpose: label that separates secrets derived from the same `secret`.
        secret: the secret to derive from.
    """
    derived = hmac.digest(key.encode(), f"{purpose}\0{secret}".encode(), "sha256")
    return base64.urlsafe_b64encode(derived).decode().rstrip("=")


def digest(secret: str) -> str:
    """Hash a secret for storage. SHA-256 is enough, because the secret is random."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(session: Session, account: UserAccount, purpose: TokenPurpose, email: str, expires_at: datetime) -> str:
    """Store a new one-time token for `email`, and return its secret."""
    secret = new_secret()
    session.add(
        OneTimeToken(
            token_hash=digest(secret), account_id=account.id, purpose=purpose, email=email, expires_at=expires_at
        )
    )
    return secret


def find_usable(session: Session, secret: str, *purposes: TokenPurpose) -> OneTimeToken | None:
    """Return the token if it is unused, not expired and valid for one of the purposes."""
    token = session.get(OneTimeToken, digest(secret))
    if token is None or token.purpose not in purposes or token.used_at is not None or token.expires_at <= now():
        return None
    return token


def redeem(session: Session, secret: str, *purposes: TokenPurpose) -> OneTimeToken | None:
    """Mark the token as used and return it. Only one of several simultaneous calls succeeds; the others return None."""
    token = find_usable(session, secret, *purposes)
    if token is None:
        return None
    unused = (col(OneTimeToken.token_hash) == token.token_hash, col(OneTimeToken.used_at).is_(None))
    result = session.connection().execute(update(OneTimeToken).where(*unused).values(used_at=now()))
    return token if result.rowcount == 1 else None


def revoke(session: Session, account_id: str) -> None:
    """Delete all one-time tokens of an account."""
    session.execute(delete(OneTimeToken).where(col(OneTimeToken.account_id) == account_id))
