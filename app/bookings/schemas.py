"""What clients send about bookings, and what they get."""

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
    """Numbers would pass for moments otherwise, as seconds since 1970."""
    if not isinstance(value, str) or RFC3339.fullmatch(value) is None:
        raise ValueError("not a moment like 2026-12-01T10:00:00Z")
    return value


def _utc(value: datetime) -> datetime:
    if value.year not in YEARS:
        raise ValueError("not within the years 2000 to 2200")
    return value.astimezone(UTC)


def _on_slot(value: datetime) -> datetime:
    if value.timestamp() % SLOT.total_seconds():
        raise ValueError("not on a half hour")
    return value


Moment = Annotated[
    AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_utc), Field(examples=["2026-12-01T10:00:00Z"])
]
SlotStart = Annotated[Moment, AfterValidator(_on_slot), Field(description="On a half hour (UTC)")]
Notes = Annotated[
    str,
    StringConstraints(max_length=1000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$"),
    Field(description="May have several lines", examples=["The bell is broken, please knock."]),
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
        description="True: also when the client has the same service at the same time and address already, "
        "which is refused (`duplicate-booking`) otherwise",
    ),
]


class NewBooking(QuoteRequest):
    """A visit to book: what is to be cleaned, when and where."""

    model_config = ConfigDict(extra="forbid")

    client_id: Identifier | None = Field(None, description="Whose booking it is: the office says so, clients must not")
    starts_at: SlotStart
    address: Address
    notes: Notes = ""
    allow_duplicate: AllowDuplicate = False


class BookingChange(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    address: Address = Field(default_factory=str)
    notes: Notes = Field(default_factory=str)
    allow_duplicate: AllowDuplicate = False


class Rescheduling(BaseModel):
    """The new time."""

    model_config = ConfigDict(extra="forbid")

    starts_at: SlotStart
    allow_duplicate: AllowDuplicate = False


class Cancellation(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


class Assignment(BaseModel):
    """Who is to go."""

    model_config = ConfigDict(extra="forbid")

    cleaner_id: Identifier | None = Field(None, description="Null: whoever is free and has the least to do")


class BookingClient(BaseModel):
    """Whose booking it is."""

    id: str
    full_name: str = Field(examples=["Anna Petrova"])


class BookingCleaner(BaseModel):
    """Who is assigned."""

    id: str
    full_name: str = Field(examples=["Boris Ivanov"])
    rating: float | None = Field(description="Mean of the stars; null without reviews", examples=[4.8])


class BookedQuote(BaseModel):
    """The quote as agreed, with the measures it was made from."""

    model_config = ConfigDict(extra="ignore")

    items: list[QuoteItem]
    square_metres: int | None
    rooms: int | None
    hours: int | None


class Booking(BaseModel):
    """A visit that a client has ordered."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    reference: str = Field(description="For the phone", examples=["K7M2QX9A"])
    state: BookingState
    client: BookingClient
    cleaner: BookingCleaner | None
    service_id: str
    service_name: str = Field(description="As it was called when it was booked", examples=["Regular cleaning"])
    starts_at: datetime
    ends_at: datetime
    duration_minutes: int = Field(examples=[150])
    address: str
    notes: str
    price: int = Field(description=MINOR_UNITS, examples=[9900])
    currency: str = Field(description="ISO 4217", examples=["EUR"])
    quote: BookedQuote
    cancellation_fee: int = Field(description="Minor units; what a cancelled booking costs", examples=[0])
    free_cancellation_until: datetime = Field(description="Up to and including then the client cancels without a fee")
    # A stored answer of a release that had no such field is that of a new booking, whose version is 1.
    version: int = Field(1, description="Raised by every change; the number in `ETag`", examples=[1])
    created_at: datetime
    updated_at: datetime


class HistoryActor(BaseModel):
    """Who changed a booking."""

    id: str
    full_name: str = Field(examples=["Anna Petrova"])
    role: Role


class HistoryEntry(BaseModel):
    """One change of a booking."""

    at: datetime
    actor: HistoryActor | None = Field(description="Null: the service itself")
    kind: str = Field(
        description="requested, confirmed, assigned, unassigned, rescheduled, changed, started, completed, no_show or "
        "cancelled",
        examples=["assigned"],
    )
    state: BookingState = Field(description="After the change")
    details: dict[str, Any] = Field(description="What the change was, depending on `kind`")
