"""What the office gets."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.bookings.models import BookingState
from app.bookings.schemas import Booking
from app.kit import outbox


class CleanerDay(BaseModel):
    """What a cleaner has to do on a day."""

    cleaner_id: str = Field(examples=["5c1d2e3f-8a9b-4c0d-8e1f-2a3b4c5d6e7f"])
    full_name: str = Field(examples=["Boris Ivanov"])
    is_bookable: bool
    visits: list[Booking] = Field(description="In order; those that touch the day and were not cancelled")


class CleanerLoad(BaseModel):
    """How much a cleaner has to do."""

    cleaner_id: str
    full_name: str = Field(examples=["Boris Ivanov"])
    minutes: int = Field(description="Of visits of the period, missed ones included", examples=[2400])


class Figures(BaseModel):
    """A period in numbers. A booking belongs to the period in which its visit begins."""

    first_day: date
    last_day: date = Field(description="Included")
    timezone: str = Field(description="In which the days are meant", examples=["Europe/Berlin"])
    bookings: int = Field(description="All of them", examples=[42])
    by_state: dict[BookingState, int]
    cancellations: int = Field(examples=[2])
    revenue: int = Field(
        description="Prices of completed visits and fees of cancelled ones, in minor units of ISO 4217",
        examples=[420000],
    )
    currency: str = Field(description="ISO 4217", examples=["EUR"])
    load: list[CleanerLoad] = Field(description="The busiest first; who had nothing to do is left out")


class Message(BaseModel):
    """A notification that is to be sent, or was. What it said is nobody's business."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    channel: str = Field(examples=["email"])
    recipient: str = Field(examples=["anna@example.com"])
    template: str = Field(examples=["booking_assigned"])
    state: outbox.NotificationState
    attempts: int
    due_at: datetime = Field(description="When it is tried next, while it is pending")
    last_error: str | None
    created_at: datetime
    sent_at: datetime | None


class AuditEntry(BaseModel):
    """One thing that somebody did."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    action: str = Field(examples=["booking.cancelled"])
    actor_id: str | None = Field(description="Null: nobody known, or the service itself")
    subject_id: str | None = Field(description="What it was done to")
    address: str | None = Field(
        description="The network address that it came from; null after 90 days, and once the person is erased",
        examples=["192.0.2.7"],
    )
    request_id: str | None
    details: dict[str, Any]
