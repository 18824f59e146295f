"""Tables of the accounts."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, String, true
from sqlmodel import Field, SQLModel

from app.kit.actor import Role
from app.kit.models import UtcDateTime, identifier, now


class Language(StrEnum):
    """Language of the messages to a user."""

    ENGLISH = "en"
    RUSSIAN = "ru"


class UserAccount(SQLModel, table=True):
    """An account of a user."""

    __tablename__: ClassVar[str] = "user_account"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_lower_case"),
        CheckConstraint("role IN ('client', 'cleaner', 'manager', 'admin')", name="role"),
        CheckConstraint("language IN ('en', 'ru')", name="language"),
        Index(None, "created_at", "id"),
        Index(None, "role", "created_at", "id"),
        Index(None, "is_active", "created_at", "id"),
        Index(None, "role", "is_active", "created_at", "id"),
    )

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    email: str = Field(sa_type=String(254), unique=True)
    password_hash: str = Field(max_length=255, repr=False)
    full_name: str = Field(max_length=100)
    phone: str | None = Field(default=None, max_length=16)
    role: str = Field(default=Role.CLIENT, max_length=20, sa_column_kwargs={"server_default": "client"})
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    language: str = Field(default=Language.ENGLISH, sa_type=String(2), sa_column_kwargs={"server_default": "en"})
    email_verified_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime, sa_column_kwargs={"onupdate": now})

    @property
    def email_verified(self) -> bool:
        """Whether the user has confirmed a code sent to `email`."""
        return self.email_verified_at is not None


class SearchTerm(SQLModel, table=True):
    """A word of an account's name, e-mail address or phone number, for the search by prefix."""

    __tablename__: ClassVar[str] = "account_term"
    __table_args__ = (Index(None, "account_id"),)

    term: str = Field(sa_type=String(254), primary_key=True)
    """Case-folded, in Unicode's composed form (NFC)."""
    account_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="user_account.id")


class LoginSession(SQLModel, table=True):
    """A login on one device, and the family of its refresh tokens."""

    __tablename__: ClassVar[str] = "login_session"
    __table_args__ = (Index(None, "account_id", "created_at"), Index(None, "expires_at"))

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    account_id: str = Field(sa_type=String(36), foreign_key="user_account.id")
    user_agent: str = Field(sa_type=String(200))
    address: str | None = Field(default=None, sa_type=String(45))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    used_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RefreshToken(SQLModel, table=True):
    """A refresh token. It is valid for one use, which can be repeated for a short time."""

    __tablename__: ClassVar[str] = "refresh_token"
    __table_args__ = (Index(None, "session_id"),)

    token_hash: str = Field(sa_type=String(64), primary_key=True)
    """SHA-256, which is enough because the token is random."""
    session_id: str = Field(sa_type=String(36), foreign_key="login_session.id", ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class TokenPurpose(StrEnum):
    """Purpose of a one-time token."""

    VERIFY_EMAIL = "verify_email"
    CHANGE_EMAIL = "change_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105  # a name


class OneTimeToken(SQLModel, table=True):
    """A one-time code that was sent by e-mail."""

    __tablename__: ClassVar[str] = "one_time_token"
    __table_args__ = (
        CheckConstraint("purpose IN ('verify_email', 'change_email', 'reset_password')", name="purpose"),
        Index(None, "account_id"),
        Index(None, "expires_at"),
    )

    token_hash: str = Field(sa_type=String(64), primary_key=True)
    account_id: str = Field(sa_type=String(36), foreign_key="user_account.id")
    purpose: str = Field(sa_type=String(20))
    email: str = Field(sa_type=String(254), repr=False)
    """The address that the code confirms."""
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
