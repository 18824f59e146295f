"""Tables of the accounts."""

import uuid
from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, String, true
from sqlmodel import Field, SQLModel

from app.kit.models import UtcDateTime, now


class UserAccount(SQLModel, table=True):
    """A person who can sign in."""

    __tablename__: ClassVar[str] = "user_account"
    __table_args__ = (CheckConstraint("email = lower(email)", name="email_lower_case"),)

    id: str = Field(default_factory=lambda: str(uuid.uuid4()), primary_key=True, max_length=36)
    email: str = Field(sa_type=String(254), unique=True)
    password_hash: str = Field(max_length=255, repr=False)
    full_name: str = Field(max_length=100)
    phone: str | None = Field(default=None, max_length=16)
    role: str = Field(default="client", max_length=20, sa_column_kwargs={"server_default": "client"})
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime, sa_column_kwargs={"onupdate": now})
