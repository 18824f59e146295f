"""Tables of the staff: who cleans, and when."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, Integer, String, true
from sqlmodel import Field, SQLModel

from app.kit.models import UtcDateTime, identifier, now

SLOT_MINUTES = 30
"""Visits begin and last in whole slots, counted from the epoch (UTC): on the half hour in all but two time zones."""


class Cleaner(SQLModel, table=True):
    """Somebody who can be sent to clients; made when an account gets the role `cleaner`."""

    __tablename__: ClassVar[str] = "cleaner"
    __table_args__ = (Index(None, "is_bookable", "account_id"), Index(None, "created_at", "account_id"))

    account_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="user_account.id")
    is_bookable: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """False once the account has another role or is inactive."""
    rating_total: int = 0
    """Stars of all reviews."""
    rating_count: int = 0
    version: int = 1
    """Of the working hours."""
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class WorkingHours(SQLModel, table=True):
    """When a cleaner works on one day of the week, by the clock on the wall of BUSINESS_TIMEZONE."""

    __tablename__: ClassVar[str] = "working_hours"
    __table_args__ = (
        CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        CheckConstraint("starts >= 0 AND starts < ends AND ends <= 1440", name="hours"),
    )

    cleaner_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="cleaner.account_id")
    weekday: int = Field(primary_key=True)
    """0 is Monday (ISO 8601 less one)."""
    starts: int = Field(primary_key=True)
    """Minutes after midnight."""
    ends: int
    """Minutes after midnight; 1440 is the next midnight."""


class DayOff(SQLModel, table=True):
    """Days, both included, on which a cleaner does not work."""

    __tablename__: ClassVar[str] = "day_off"
    __table_args__ = (
        CheckConstraint("first_day <= last_day", name="order"),
        Index(None, "cleaner_id", "last_day", "first_day", "id"),
    )

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    cleaner_id: str = Field(sa_type=String(36), foreign_key="cleaner.account_id")
    first_day: date
    last_day: date
    reason: str = Field(default="", sa_type=String(200))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class BookingSlot(SQLModel, table=True):
    """A cleaner's time that is taken. The primary key is what makes double booking impossible.

    There is a row for each slot of a booking that has a cleaner and is not over: completed, cancelled or missed.
    """

    __tablename__: ClassVar[str] = "booking_slot"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}

    cleaner_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="cleaner.account_id")
    slot: int = Field(sa_type=Integer, primary_key=True, sa_column_kwargs={"autoincrement": False})
    """Unix time in units of SLOT_MINUTES."""
    booking_id: str = Field(sa_type=String(36), foreign_key="booking.id")
