"""Request and response schemas of the reviews."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.kit.fields import WHOLE

Comment = Annotated[
    str,
    # No control characters except line breaks.
    StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$"),
    Field(examples=["Everything shines."]),
]


class ReviewRequest(BaseModel):
    """A review of a completed booking."""

    model_config = ConfigDict(extra="forbid")

    stars: Annotated[int, WHOLE] = Field(strict=True, ge=1, le=5, examples=[5])
    comment: Comment = ""


class ReviewView(BaseModel):
    """A review as shown to the booking's client and cleaner and to the office."""

    model_config = ConfigDict(from_attributes=True)

    booking_id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    cleaner_id: str = Field(examples=["5c1d2e3f-8a9b-4c0d-8e1f-2a3b4c5d6e7f"])
    stars: int = Field(examples=[5])
    comment: str = Field(examples=["Everything shines."])
    created_at: datetime


class PublicReview(BaseModel):
    """A review as shown to every signed-in user."""

    author: str = Field(description="First name and last initial of the client", examples=["Anna P."])
    stars: int = Field(examples=[5])
    comment: str = Field(examples=["Everything shines."])
    created_at: datetime
