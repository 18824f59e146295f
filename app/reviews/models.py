"""Table of the reviews."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, String
from sqlmodel import Field, SQLModel

from app.kit.models import UtcDateTime, now


class Review(SQLModel, table=True):
    """A client's review of a completed booking. A booking has at most one, so its id is the primary key."""

    __tablename__: ClassVar[str] = "review"
    __table_args__ = (
        CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
        Index(None, "cleaner_id", "created_at", "booking_id"),
        Index(None, "client_id"),
    )

    booking_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="booking.id")
    client_id: str = Field(sa_type=String(36), foreign_key="user_account.id")
    cleaner_id: str = Field(sa_type=String(36), foreign_key="cleaner.account_id")
    stars: int
    comment: str = Field(default="", sa_type=String(2000), repr=False)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
