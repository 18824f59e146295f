"""Request and response bodies of the staff."""

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
DATE_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _require_date_text(value: object) -> object:
    # Pydantic alone would also accept a number of seconds since 1970.
    if not isinstance(value, str) or not DATE_PATTERN.fullmatch(value):
        raise ValueError("is not a date like 2026-12-01")
    return value


Day = Annotated[
    date,
    Field(ge=EARLIEST, le=LATEST, examples=["2026-12-01"], description=f"From {EARLIEST} to {LATEST}"),
    BeforeValidator(_require_date_text),
]
Time = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["09:00"])]
EndTime = Annotated[
    str,
    StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"),
    Field(examples=["17:00"], description="`24:00` is the end of the day"),
]


def to_minutes(clock_time: str) -> int:
    """Convert a time like `09:00` to minutes after midnight."""
    return int(clock_time[:2]) * 60 + int(clock_time[3:])


def to_clock_time(minutes: int) -> str:
    """Convert minutes after midnight to a time like `09:00`."""
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
    cleaners: int = Field(description="Number of free cleaners", examples=[3])


class FreeDay(BaseModel):
    """A day in the company's time zone."""

    date: date
    slots: list[FreeSlot] = Field(description="In order of time; empty if no cleaner is free")


class Availability(BaseModel):
    """Times at which visits can begin."""

    timezone: str = Field(description="Time zone of the days", examples=["Europe/Berlin"])
    duration_minutes: int = Field(examples=[150])
    days: list[FreeDay] = Field(description="Every requested day, in order")


class CleanerView(BaseModel):
    """A cleaner, with the data that only the office and the cleaner can see."""

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    full_name: str = Field(examples=["Anna Petrova"])
    email: str = Field(examples=["anna@example.com"])
    phone: str | None = Field(examples=["+14155550123"])
    is_bookable: bool = Field(description="False if the account is inactive or has another role")
    rating: float | None = Field(description="Average of all reviews; null without reviews", examples=[4.75])
    rating_count: int = Field(examples=[12])


class Shift(BaseModel):
    """Working hours on one weekday, in local time. A shift across midnight needs two entries."""

    model_config = ConfigDict(extra="forbid")

    weekday: Annotated[int, WHOLE] = Field(strict=True, ge=0, le=6, description="0 is Monday", examples=[0])
    starts: Time
    ends: EndTime

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if to_minutes(self.ends) <= to_minutes(self.starts):
            raise ValueError("`ends` must be after `starts`")
        return self


class WeekChange(BaseModel):
    """The working hours of a whole week. A weekday without an entry is free."""

    model_config = ConfigDict(extra="forbid")

    hours: list[Shift] = Field(max_length=MAXIMUM_SHIFTS)

    @field_validator("hours")
    @classmethod
    def _no_overlaps(cls, hours: list[Shift]) -> list[Shift]:
        week = sorted((each.weekday, to_minutes(each.starts), to_minutes(each.ends)) for each in hours)
        for (day, _, ends), (next_day, starts, _) in pairwise(week):
            if day == next_day and starts < ends:
                raise ValueError("entries of one day must not overlap")
        return hours


class Week(BaseModel):
    """The working hours of a whole week, in order of time. A weekday without an entry is free."""

    timezone: str = Field(description="Time zone of the hours", examples=["Europe/Berlin"])
    hours: list[Shift]
    version: int = Field(examples=[1])


class ChangedWeek(Week):
    """The new working hours, and the visits that the cleaner has lost."""

    affected_visits: list[AffectedVisit] = Field(description="Future visits outside the new hours, in order of time")


class DayOffRequest(BaseModel):
    """Consecutive days on which a cleaner does not work."""

    model_config = ConfigDict(extra="forbid")

    first_day: Day
    last_day: Day = Field(description="Included")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = (
        Field("", examples=["Holiday"])
    )

    @field_validator("last_day")
    @classmethod
    def _check_order(cls, last_day: date, others: ValidationInfo) -> date:
        first_day = others.data.get("first_day", last_day)
        if not timedelta(0) <= last_day - first_day < MAXIMUM_ABSENCE:
            raise ValueError(f"`last_day` must be `first_day` or up to {MAXIMUM_ABSENCE.days - 1} days later")
        return last_day


class DayOffView(BaseModel):
    """Consecutive days on which a cleaner does not work."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    first_day: date
    last_day: date = Field(description="Included")
    reason: str = Field(examples=["Holiday"])
    created_at: datetime


class NewDayOff(DayOffView):
    """New days off, and the visits that the cleaner has lost."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)

    # The default is for answers that an older release has stored under an Idempotency-Key.
    affected_visits: list[AffectedVisit] = Field(
        default_factory=list, description="Future visits on these days, in order of time"
    )
