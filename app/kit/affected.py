"""What an absence does to visits: told by the feature that causes it, done by the one that plans visits."""

from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel, Field
from sqlmodel import Session


class NewCleaner(BaseModel):
    """The cleaner who goes instead."""

    id: str
    full_name: str = Field(examples=["Maria Schmidt"])


class AffectedVisit(BaseModel):
    """A visit to come whose cleaner cannot do it any more."""

    id: str = Field(description="Of the booking", examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    reference: str = Field(description="Of the booking", examples=["K7M2QX9A"])
    starts_at: datetime
    reassigned: bool = Field(description="Whether another cleaner goes")
    cleaner: NewCleaner | None = Field(
        description="Who goes now; null: nobody yet, `GET /office/bookings?cover=missing` lists the visit"
    )


AbsenceListener = Callable[[Session, str], list[AffectedVisit]]
"""Called with a cleaner's id, in the transaction after which they work less, or not at all."""
