"""Request and response schemas of the catalogue."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.catalog.models import CleaningService, ServiceExtra
from app.kit.fields import WHOLE

Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
    Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"]),
]
MAXIMUM_EXTRAS_PER_QUOTE = 20
MAXIMUM_PRICE = 10_000_000
MAXIMUM_MINUTES = 720
MINOR_UNITS = "Minor units of the currency (ISO 4217): 9900 is 99.00 EUR, 9900 JPY or 9.900 KWD"

# No control characters, and not only white space.
_VISIBLE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=_VISIBLE),
    Field(examples=["Regular cleaning"]),
]
Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$"),
    Field(examples=["Dusting, floors, kitchen and bathroom"]),
]
Position = Annotated[
    int, Field(strict=True, ge=0, le=10_000, description="Position in lists, smallest first", examples=[10]), WHOLE
]
Price = Annotated[
    int,
    Field(strict=True, ge=0, le=MAXIMUM_PRICE, description=MINOR_UNITS, examples=[1500]),
    WHOLE,
]
Minutes = Annotated[int, Field(strict=True, ge=0, le=MAXIMUM_MINUTES, description="Minutes", examples=[30]), WHOLE]
Seconds = Annotated[int, Field(strict=True, ge=0, le=MAXIMUM_MINUTES * 60, description="Seconds", examples=[90]), WHOLE]
Quantity = Annotated[int, Field(strict=True, ge=1, le=100, examples=[1]), WHOLE]
Flag = Annotated[bool, Field(strict=True, examples=[True])]
Measure = Literal["square_metres", "rooms", "hours"]


class RequestBody(BaseModel):
    """Base of request bodies: an unknown field is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class ExtraChoice(RequestBody):
    """An extra to include in a quote or a booking."""

    extra_id: Identifier
    quantity: Quantity = 1


class QuoteRequest(RequestBody):
    """A request for a quote. The service's `measures` field lists the required measures."""

    service_id: Identifier
    square_metres: Annotated[int, Field(strict=True, ge=1, le=2000), WHOLE] | None = Field(None, examples=[60])
    rooms: Annotated[int, Field(strict=True, ge=1, le=50), WHOLE] | None = Field(None, examples=[3])
    hours: Annotated[int, Field(strict=True, ge=1, le=12), WHOLE] | None = Field(None, examples=[2])
    extras: list[ExtraChoice] = Field(default_factory=list, max_length=MAXIMUM_EXTRAS_PER_QUOTE, examples=[[]])


class QuoteItem(BaseModel):
    """One line of a quote."""

    kind: Literal["base", "square_metres", "rooms", "hours", "extra"]
    name: str = Field(examples=["Regular cleaning"])
    quantity: int
    unit_price: int = Field(description="Minor units", examples=[150])
    amount: int = Field(description="Minor units: quantity x unit_price", examples=[9000])


class Quote(BaseModel):
    """Price and duration of a visit."""

    service_id: str
    service_name: str = Field(examples=["Regular cleaning"])
    items: list[QuoteItem]
    total: int = Field(description=MINOR_UNITS, examples=[9900])
    currency: str = Field(description="ISO 4217", examples=["EUR"])
    duration_minutes: int = Field(description="A multiple of 30", examples=[150])


def _unset() -> Any:  # noqa: ANN401  # stands for a value of any field
    """Default of an omitted field. Used as a factory so that the schema does not allow `null`."""
    return None


class NewService(RequestBody):
    """A service to add. A rate of 0 has no effect on price or duration. A visit lasts at least 30 minutes."""

    name: Name
    description: Description = ""
    position: Position = 0
    base_price: Price = 0
    price_per_square_metre: Price = 0
    price_per_room: Price = 0
    price_per_hour: Price = 0
    base_minutes: Minutes = 0
    seconds_per_square_metre: Seconds = 0
    minutes_per_room: Minutes = 0
    is_active: Flag = True


class ServiceChange(RequestBody):
    """The fields of a service to change; omitted fields keep their values."""

    name: Name = Field(default_factory=_unset)
    description: Description = Field(default_factory=_unset)
    position: Position = Field(default_factory=_unset)
    base_price: Price = Field(default_factory=_unset)
    price_per_square_metre: Price = Field(default_factory=_unset)
    price_per_room: Price = Field(default_factory=_unset)
    price_per_hour: Price = Field(default_factory=_unset)
    base_minutes: Minutes = Field(default_factory=_unset)
    seconds_per_square_metre: Seconds = Field(default_factory=_unset)
    minutes_per_room: Minutes = Field(default_factory=_unset)
    is_active: Flag = Field(default_factory=_unset)


class NewExtra(RequestBody):
    """An extra to add to a service."""

    name: Name
    position: Position = 0
    price: Price = Field(0, description="Price per unit, in minor units")
    minutes: Minutes = Field(0, description="Minutes per unit")
    maximum_quantity: Quantity = 1
    is_active: Flag = True


class ExtraChange(RequestBody):
    """The fields of an extra to change; omitted fields keep their values."""

    name: Name = Field(default_factory=_unset)
    position: Position = Field(default_factory=_unset)
    price: Price = Field(default_factory=_unset)
    minutes: Minutes = Field(default_factory=_unset)
    maximum_quantity: Quantity = Field(default_factory=_unset)
    is_active: Flag = Field(default_factory=_unset)


class Extra(BaseModel):
    """An optional addition to a service, for example windows."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["5a1c9e7c-5a0f-4d2b-8a55-0f6f9b8f7a21"])
    service_id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    name: str = Field(examples=["Windows"])
    position: int
    price: int = Field(description="Price per unit, in minor units", examples=[500])
    minutes: int = Field(description="Minutes per unit", examples=[15])
    maximum_quantity: int = Field(examples=[10])
    is_active: bool
    version: int = Field(description="The number in the extra's ETag", examples=[1])

    @classmethod
    def of(cls, extra: ServiceExtra) -> "Extra":
        """Build the schema from the database row."""
        return cls.model_validate(extra)


class Service(BaseModel):
    """A cleaning service with the rates for its price and duration."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    name: str = Field(examples=["Regular cleaning"])
    description: str
    position: int
    base_price: int = Field(description="In minor units, like all prices", examples=[1500])
    price_per_square_metre: int = Field(examples=[150])
    price_per_room: int
    price_per_hour: int
    base_minutes: int = Field(examples=[30])
    seconds_per_square_metre: int = Field(examples=[90])
    minutes_per_room: int
    is_active: bool
    version: int = Field(description="The number in the service's ETag; a change of an extra increases it too")
    created_at: datetime
    updated_at: datetime
    measures: list[Measure] = Field(description="Measures that a quote request must give", examples=[["square_metres"]])
    extras: list[Extra]

    @classmethod
    def of(cls, service: CleaningService, measures: list[Measure], extras: list[ServiceExtra]) -> "Service":
        """Build the schema from the database rows."""
        return cls.model_validate(
            service.model_dump() | {"measures": measures, "extras": [Extra.of(extra) for extra in extras]}
        )


class Offer(BaseModel):
    """All active services."""

    currency: str = Field(description="Currency of all prices (ISO 4217)", examples=["EUR"])
    items: list[Service]
