"""Tables of cleaners, working hours, days off and reserved time."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, Integer, String, true
from sqlmodel import Field, SQLModel

from app.kit.models import UtcDateTime, identifier, now

SLOT_MINUTES = 30
"""Length of a slot. Visits begin at slots and last whole slots. Slots are counted from the epoch (UTC)."""


class Cleaner(SQLModel, table=True):
    """A cleaner. The row is created when an account gets the role `cleaner`."""

    __tablename__: ClassVar[str] = "cleaner"
    __table_args__ = (Index(None, "is_bookable", "account_id"), Index(None, "created_at", "account_id"))

    account_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="user_account.id")
    is_bookable: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """False if the account is inactive or has another role."""
    rating_total: int = 0
    """Sum of the stars of all reviews."""
    rating_count: int = 0
    version: int = 1
    """Version of the working hours, for If-Match."""
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class WorkingHours(SQLModel, table=True):
    """Working hours of a cleaner on one weekday, in local time of BUSINESS_TIMEZONE."""

    __tablename__: ClassVar[str] = "working_hours"
    __table_args__ = (
        CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        CheckConstraint("starts >= 0 AND starts < ends AND ends <= 1440", name="hours"),
    )

    cleaner_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="cleaner.account_id")
    weekday: int = Field(primary_key=True)
    """0 is Monday."""
    starts: int = Field(primary_key=True)
    """Minutes after midnight."""
    ends: int
    """Minutes after midnight; 1440 is the end of the day."""


class DayOff(SQLModel, table=True):
    """Consecutive days on which a cleaner does not work. The first and the last day are included."""

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
    """A slot of a cleaner that is reserved for a booking. The primary key prevents double bookings.

    An assigned booking has a row for each of its slots, until it is completed, cancelled or marked as a no-show.
    """

    __tablename__: ClassVar[str] = "booking_slot"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}

    cleaner_id: str = Field(sa_type=String(36), primary_key=True, foreign_key="cleaner.account_id")
    slot: int = Field(sa_type=Integer, primary_key=True, sa_column_kwargs={"autoincrement": False})
    """Unix time in units of SLOT_MINUTES."""
    booking_id: str = Field(sa_type=String(36), foreign_key="booking.id")
