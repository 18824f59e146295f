"""Request and response schemas of the bookings."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.bookings.models import BookingState
from app.catalog.schemas import MINOR_UNITS, Identifier, QuoteItem, QuoteRequest
from app.kit.actor import Role
from app.staff.calendar import SLOT
from app.staff.schemas import VisitAddress as Address

RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
YEARS = range(2000, 2201)


def _rfc3339(value: object) -> object:
    """Refuse anything but RFC 3339 text: pydantic would accept a number as seconds since 1970."""
    if not isinstance(value, str) or RFC3339.fullmatch(value) is None:
        raise ValueError("not an RFC 3339 timestamp like 2026-12-01T10:00:00Z")
    return value


def _utc(value: datetime) -> datetime:
    if value.year not in YEARS:
        raise ValueError("not within the years 2000 to 2200")
    return value.astimezone(UTC)


def _on_slot(value: datetime) -> datetime:
    if value.timestamp() % SLOT.total_seconds():
        raise ValueError("not on a half hour")
    return value


Timestamp = Annotated[
    AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_utc), Field(examples=["2026-12-01T10:00:00Z"])
]
SlotStart = Annotated[
    Timestamp, AfterValidator(_on_slot), Field(description="Start time, on a full or half hour (UTC)")
]
Notes = Annotated[
    str,
    StringConstraints(max_length=1000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$"),
    Field(description="Notes for the cleaner; line breaks are allowed", examples=["The bell is broken, please knock."]),
]
Reason = Annotated[
    str,
    StringConstraints(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$"),
    Field(examples=["Plans have changed"]),
]


AllowDuplicate = Annotated[
    bool,
    Field(
        strict=True,
        description="If false, a second booking of the same client for the same service, time and address is refused "
        "(`duplicate-booking`)",
    ),
]


class NewBooking(QuoteRequest):
    """A booking request: the service, its measures, the start time and the address."""

    model_config = ConfigDict(extra="forbid")

    client_id: Identifier | None = Field(
        None, description="The client to book for. Required from the office, forbidden from clients"
    )
    starts_at: SlotStart
    address: Address
    notes: Notes = ""
    allow_duplicate: AllowDuplicate = False


class BookingChange(BaseModel):
    """The fields to change; omitted fields keep their values."""

    model_config = ConfigDict(extra="forbid")

    address: Address = Field(default_factory=str)
    notes: Notes = Field(default_factory=str)
    allow_duplicate: AllowDuplicate = False


class Rescheduling(BaseModel):
    """The new start time."""

    model_config = ConfigDict(extra="forbid")

    starts_at: SlotStart
    allow_duplicate: AllowDuplicate = False


class Cancellation(BaseModel):
    """The reason for a cancellation."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


class Assignment(BaseModel):
    """The cleaner to assign."""

    model_config = ConfigDict(extra="forbid")

    cleaner_id: Identifier | None = Field(None, description="Null to assign the least loaded free cleaner")


class BookingClient(BaseModel):
    """The client of a booking."""

    id: str
    full_name: str = Field(examples=["Anna Petrova"])


class BookingCleaner(BaseModel):
    """The cleaner assigned to a booking."""

    id: str
    full_name: str = Field(examples=["Boris Ivanov"])
    rating: float | None = Field(description="Average stars of all reviews; null without reviews", examples=[4.8])


class BookedQuote(BaseModel):
    """The quote at the time of booking, with the measures it is based on."""

    model_config = ConfigDict(extra="ignore")

    items: list[QuoteItem]
    square_metres: int | None
    rooms: int | None
    hours: int | None


class Booking(BaseModel):
    """A booked visit."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    reference: str = Field(description="Short code for telephone and e-mail", examples=["K7M2QX9A"])
    state: BookingState
    client: BookingClient
    cleaner: BookingCleaner | None
    service_id: str
    service_name: str = Field(description="The service's name at the time of booking", examples=["Regular cleaning"])
    starts_at: datetime
    ends_at: datetime
    duration_minutes: int = Field(examples=[150])
    address: str
    notes: str
    price: int = Field(description=MINOR_UNITS, examples=[9900])
    currency: str = Field(description="ISO 4217", examples=["EUR"])
    quote: BookedQuote
    cancellation_fee: int = Field(description="Fee charged for a cancelled booking, in minor units", examples=[0])
    free_cancellation_until: datetime = Field(description="Last moment at which the client can cancel without a fee")
    # Responses stored by a release without this field belong to new bookings, whose version is 1.
    version: int = Field(1, description="Increases with every change; the number in `ETag`", examples=[1])
    created_at: datetime
    updated_at: datetime


class HistoryActor(BaseModel):
    """The person who changed a booking."""

    id: str
    full_name: str = Field(examples=["Anna Petrova"])
    role: Role


class HistoryEntry(BaseModel):
    """One change of a booking."""

    at: datetime
    actor: HistoryActor | None = Field(description="Null if the service itself made the change")
    kind: str = Field(
        description="requested, confirmed, assigned, unassigned, rescheduled, changed, started, completed, no_show or "
        "cancelled",
        examples=["assigned"],
    )
    state: BookingState = Field(description="The booking's state after the change")
    details: dict[str, Any] = Field(description="Details of the change; the keys depend on `kind`")
