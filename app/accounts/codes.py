"""One-time secrets: the owner gets the secret, the database only its hash."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col

from app.accounts.models import OneTimeToken, Purpose, UserAccount
from app.kit.models import now

BYTES = 32


def new_secret() -> str:
    """A random text that nobody can guess, fit for a URL; 43 characters."""
    return secrets.token_urlsafe(BYTES)


def derive(key: str, purpose: str, secret: str) -> str:
    """Make another secret out of one, the same each time; 43 characters.

    HMAC-SHA256: it cannot be made without the key, and says nothing about the secret or what is made of it for another
    purpose.

    Args:
        key: SECRET_KEY.
        purpose: what it is for; different purposes, different secrets.
        secret: what to make it of.
    """
    made = hmac.digest(key.encode(), f"{purpose}\0{secret}".encode(), "sha256")
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def digest(secret: str) -> str:
    """What is stored of it. SHA-256: the secret is random, so nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(session: Session, account: UserAccount, purpose: Purpose, email: str, expires_at: datetime) -> str:
    """Make a one-time token that is sent to `email`, and return it."""
    secret = new_secret()
    session.add(
        OneTimeToken(
            token_hash=digest(secret), account_id=account.id, purpose=purpose, email=email, expires_at=expires_at
        )
    )
    return secret


def peek(session: Session, secret: str, *purposes: Purpose) -> OneTimeToken | None:
    """The token, if it can be used for one of the purposes."""
    token = session.get(OneTimeToken, digest(secret))
    if token is None or token.purpose not in purposes or token.used_at is not None or token.expires_at <= now():
        return None
    return token


def redeem(session: Session, secret: str, *purposes: Purpose) -> OneTimeToken | None:
    """Use the token up; of several who try at the same moment one gets it."""
    token = peek(session, secret, *purposes)
    if token is None:
        return None
    unused = (col(OneTimeToken.token_hash) == token.token_hash, col(OneTimeToken.used_at).is_(None))
    taken = session.connection().execute(update(OneTimeToken).where(*unused).values(used_at=now()))
    return token if taken.rowcount == 1 else None


def revoke(session: Session, account_id: str) -> None:
    """Make all one-time tokens of an account useless."""
    session.execute(delete(OneTimeToken).where(col(OneTimeToken.account_id) == account_id))
