"""Response schemas of the office."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.bookings.models import BookingState
from app.bookings.schemas import Booking
from app.kit import outbox


class CleanerDay(BaseModel):
    """A cleaner's visits on one day."""

    cleaner_id: str = Field(examples=["5c1d2e3f-8a9b-4c0d-8e1f-2a3b4c5d6e7f"])
    full_name: str = Field(examples=["Boris Ivanov"])
    is_bookable: bool
    visits: list[Booking] = Field(description="Visits that overlap the day, except cancelled ones, by start time")


class CleanerLoad(BaseModel):
    """A cleaner's workload in a period."""

    cleaner_id: str
    full_name: str = Field(examples=["Boris Ivanov"])
    minutes: int = Field(description="Total duration of the period's visits, including no-shows", examples=[2400])


class Figures(BaseModel):
    """Key figures of a period. A booking belongs to the period in which its visit starts."""

    first_day: date
    last_day: date = Field(description="Included")
    timezone: str = Field(description="Time zone of the days", examples=["Europe/Berlin"])
    bookings: int = Field(description="Number of bookings in any state", examples=[42])
    by_state: dict[BookingState, int]
    cancellations: int = Field(examples=[2])
    revenue: int = Field(
        description="Prices of completed visits plus cancellation fees, in minor units",
        examples=[420000],
    )
    currency: str = Field(description="ISO 4217", examples=["EUR"])
    load: list[CleanerLoad] = Field(description="Busiest cleaner first; cleaners without visits are omitted")


class Message(BaseModel):
    """A notification that is sent or waits to be sent. Its text is private and not part of the response."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    channel: str = Field(examples=["email"])
    recipient: str = Field(examples=["anna@example.com"])
    template: str = Field(examples=["booking_assigned"])
    state: outbox.NotificationState
    attempts: int
    due_at: datetime = Field(description="Time of the next attempt while the notification is pending")
    last_error: str | None
    created_at: datetime
    sent_at: datetime | None


class AuditEntry(BaseModel):
    """An entry of the audit log."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    action: str = Field(examples=["booking.cancelled"])
    actor_id: str | None = Field(description="Account that acted; null if unknown or the service itself")
    subject_id: str | None = Field(description="Object that the action changed")
    address: str | None = Field(
        description="Network address of the request; null after 90 days or when the account is erased",
        examples=["192.0.2.7"],
    )
    request_id: str | None
    details: dict[str, Any]
