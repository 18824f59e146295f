"""Tables of the bookings."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, CheckConstraint, Index, String
from sqlmodel import Field, SQLModel

from app.kit.models import BIG, UtcDateTime, identifier, now


class BookingState(StrEnum):
    """The state of a booking."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"


class BookingRecord(SQLModel, table=True):
    """A booked visit."""

    __tablename__: ClassVar[str] = "booking"
    __table_args__ = (
        CheckConstraint(
            "state IN ('requested', 'confirmed', 'assigned', 'in_progress', 'completed', 'cancelled', 'no_show')",
            name="state",
        ),
        CheckConstraint("starts_at < ends_at", name="times"),
        CheckConstraint("price >= 0 AND cancellation_fee >= 0", name="money"),
        CheckConstraint("state IN ('requested', 'confirmed', 'cancelled') OR cleaner_id IS NOT NULL", name="cleaner"),
        Index(None, "client_id", "starts_at", "id"),
        Index(None, "cleaner_id", "starts_at", "id"),
        Index(None, "state", "starts_at", "id"),
        Index(None, "starts_at", "id"),
    )

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    reference: str = Field(sa_type=String(10), unique=True)
    """Short code for telephone and e-mail."""
    client_id: str = Field(sa_type=String(36), foreign_key="user_account.id")
    cleaner_id: str | None = Field(default=None, sa_type=String(36), foreign_key="cleaner.account_id")
    service_id: str = Field(sa_type=String(36), foreign_key="cleaning_service.id")
    service_name: str = Field(sa_type=String(100))
    """The service's name at the time of booking."""
    state: str = Field(default=BookingState.REQUESTED, sa_type=String(12))
    starts_at: datetime = Field(sa_type=UtcDateTime)
    ends_at: datetime = Field(sa_type=UtcDateTime)
    address: str = Field(sa_type=String(300), repr=False)
    notes: str = Field(default="", sa_type=String(1000), repr=False)
    price: int = Field(sa_type=BIG)
    """Minor units."""
    currency: str = Field(sa_type=String(3))
    quote: dict[str, Any] = Field(sa_type=JSON)
    """The quote's items and the measures they are based on, at the time of booking."""
    cancellation_fee: int = Field(default=0, sa_type=BIG)
    version: int = 1
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime, sa_column_kwargs={"onupdate": now})


class BookingEvent(SQLModel, table=True):
    """One entry of a booking's history."""

    __tablename__: ClassVar[str] = "booking_event"
    __table_args__ = (Index(None, "booking_id", "id"),)

    id: int | None = Field(default=None, sa_type=BIG, primary_key=True)
    booking_id: str = Field(sa_type=String(36), foreign_key="booking.id")
    at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    actor_id: str | None = Field(default=None, sa_type=String(36))
    """None for the service itself."""
    kind: str = Field(sa_type=String(20))
    """Event name: `requested`, `confirmed`, `assigned`, `rescheduled`, `changed`, …"""
    state: str = Field(sa_type=String(12))
    """The booking's state after the change."""
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
