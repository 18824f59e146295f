"""What clients send to the staff, and what they get."""

import re
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.kit.affected import AffectedVisit
from app.kit.fields import WHOLE

EARLIEST = date(2000, 1, 1)
LATEST = date(2200, 12, 31)
MAXIMUM_DAYS = 14
MAXIMUM_DURATION = 720
MAXIMUM_ABSENCE = timedelta(days=366)
MAXIMUM_SHIFTS = 70
WRITTEN_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _written_day(value: object) -> object:
    # Otherwise pydantic also takes seconds since 1970 for a date.
    if not isinstance(value, str) or not WRITTEN_DAY.fullmatch(value):
        raise ValueError("is not a date like 2026-12-01")
    return value


Day = Annotated[
    date,
    Field(ge=EARLIEST, le=LATEST, examples=["2026-12-01"], description=f"From {EARLIEST} to {LATEST}"),
    BeforeValidator(_written_day),
]
Time = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["09:00"])]
EndTime = Annotated[
    str,
    StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"),
    Field(examples=["17:00"], description="`24:00` is the next midnight"),
]


def minutes(clock: str) -> int:
    """Minutes after midnight of a time like `09:00`."""
    return int(clock[:2]) * 60 + int(clock[3:])


def clock(minutes: int) -> str:
    """The other way round."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


VisitAddress = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(examples=["Main Street 5, 10115 Berlin"]),
]


class FreeSlot(BaseModel):
    """A time at which a visit can begin."""

    starts_at: datetime = Field(description="UTC", examples=["2026-12-01T09:00:00Z"])
    ends_at: datetime = Field(description="UTC", examples=["2026-12-01T11:30:00Z"])
    cleaners: int = Field(description="How many are free", examples=[3])


class FreeDay(BaseModel):
    """A day of the company's time zone."""

    date: date
    slots: list[FreeSlot] = Field(description="In order; empty when nothing is free")


class Availability(BaseModel):
    """When visits can begin."""

    timezone: str = Field(description="In which the days are meant", examples=["Europe/Berlin"])
    duration_minutes: int = Field(examples=[150])
    days: list[FreeDay] = Field(description="Every day that was asked for, in order")


class CleanerView(BaseModel):
    """A cleaner as the office sees them."""

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    full_name: str = Field(examples=["Anna Petrova"])
    email: str = Field(examples=["anna@example.com"])
    phone: str | None = Field(examples=["+14155550123"])
    is_bookable: bool = Field(description="False once the account has another role or is inactive")
    rating: float | None = Field(description="Average of all reviews; null without any", examples=[4.75])
    rating_count: int = Field(examples=[12])


class Shift(BaseModel):
    """Working hours on one day of the week, by the clock on the wall. Over midnight: two of them."""

    model_config = ConfigDict(extra="forbid")

    weekday: Annotated[int, WHOLE] = Field(strict=True, ge=0, le=6, description="0 is Monday", examples=[0])
    starts: Time
    ends: EndTime

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if minutes(self.ends) <= minutes(self.starts):
            raise ValueError("`ends` must be after `starts`")
        return self


class WeekChange(BaseModel):
    """The whole week; days without an entry are free."""

    model_config = ConfigDict(extra="forbid")

    hours: list[Shift] = Field(max_length=MAXIMUM_SHIFTS)

    @field_validator("hours")
    @classmethod
    def _no_overlaps(cls, hours: list[Shift]) -> list[Shift]:
        week = sorted((each.weekday, minutes(each.starts), minutes(each.ends)) for each in hours)
        for (day, _, ends), (next_day, starts, _) in pairwise(week):
            if day == next_day and starts < ends:
                raise ValueError("entries of one day must not overlap")
        return hours


class Week(BaseModel):
    """The whole week, in order; days without an entry are free."""

    timezone: str = Field(description="Of the clock on the wall", examples=["Europe/Berlin"])
    hours: list[Shift]
    version: int = Field(examples=[1])


class ChangedWeek(Week):
    """The whole week as it is from now on."""

    affected_visits: list[AffectedVisit] = Field(
        description="Visits to come that were the cleaner's until now and are outside the hours, by time"
    )


class DayOffRequest(BaseModel):
    """Days on which a cleaner does not work."""

    model_config = ConfigDict(extra="forbid")

    first_day: Day
    last_day: Day = Field(description="Included")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = (
        Field("", examples=["Holiday"])
    )

    @field_validator("last_day")
    @classmethod
    def _in_order(cls, last_day: date, others: ValidationInfo) -> date:
        first_day = others.data.get("first_day", last_day)
        if not timedelta(0) <= last_day - first_day < MAXIMUM_ABSENCE:
            raise ValueError(f"`last_day` must be `first_day` or up to {MAXIMUM_ABSENCE.days - 1} days later")
        return last_day


class DayOffView(BaseModel):
    """Days on which a cleaner does not work."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    first_day: date
    last_day: date = Field(description="Included")
    reason: str = Field(examples=["Holiday"])
    created_at: datetime


class NewDayOff(DayOffView):
    """Days on which a cleaner does not work from now on."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)

    # Answers that an older release has stored have no such field.
    affected_visits: list[AffectedVisit] = Field(
        default_factory=list, description="Visits to come that were the cleaner's until now and are on these days"
    )
