"""Reading bookings: lists, days, figures. Each goes through one of the table's indexes."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import ColumnElement, and_, bindparam, extract
from sqlmodel import Session, col, func, select

from app.bookings.models import Booking, BookingState
from app.catalog.schemas import MAXIMUM_MINUTES
from app.kit.pagination import Key, Paging, after
from app.kit.prepared import AMONG, Prepared
from app.staff.calendar import Interval

WITHOUT_WORK = (BookingState.REQUESTED, BookingState.CONFIRMED, BookingState.CANCELLED)


@dataclass(frozen=True)
class Filters:
    """Which bookings; what is None does not matter."""

    states: Collection[BookingState] = ()
    """One of these; all when empty."""
    cleaner_id: str | None = None
    client_ids: Collection[str] | None = None
    """Few: whose names match a search, for example."""
    reference: str | None = None
    start: datetime | None = None
    """Visits that begin then or later."""
    end: datetime | None = None
    """Visits that begin before."""
    uncovered_at: datetime | None = None
    """Visits that are requested or confirmed, have no cleaner, and are not over at this moment."""


FILTERS = tuple(each.name for each in fields(Filters))


@dataclass
class Figures:
    """A period in numbers; a booking belongs to it when its visit begins in it."""

    bookings: dict[BookingState, int] = field(default_factory=lambda: dict.fromkeys(BookingState, 0))
    revenue: int = 0
    """Prices of what is completed and fees of what is cancelled, in minor units."""
    cancellations: int = 0
    minutes: dict[str, int] = field(default_factory=dict)
    """Of the visits that cleaners have, had or went to in vain, by cleaner."""


class Visit(NamedTuple):
    """A row of `Booking`, to read."""

    id: str
    reference: str
    client_id: str
    cleaner_id: str | None
    service_id: str
    service_name: str
    state: str
    starts_at: datetime
    ends_at: datetime
    address: str
    notes: str
    price: int
    currency: str
    quote: dict[str, Any]
    cancellation_fee: int
    version: int
    created_at: datetime
    updated_at: datetime


ORDER: Any = (col(Booking.starts_at), col(Booking.id))
CONDITIONS: dict[str, ColumnElement[bool]] = {
    "reference": col(Booking.reference) == bindparam("reference"),
    "client_ids": col(Booking.client_id).in_(bindparam("among", expanding=True)),
    "cleaner_id": col(Booking.cleaner_id) == bindparam("cleaner_id"),
    "start": col(Booking.starts_at) >= bindparam("start"),
    "end": col(Booking.starts_at) < bindparam("end"),
    # Through the index of cleaners, since few visits to come have none; the index of states is hidden.
    "uncovered_at": and_(
        col(Booking.cleaner_id).is_(None),
        col(Booking.starts_at) > bindparam("uncovered_from"),
        col(Booking.ends_at) > bindparam("uncovered_at"),
        func.coalesce(col(Booking.state), "") != BookingState.CANCELLED.value,
    ),
}
NARROW = frozenset({"reference", "client_ids", "cleaner_id", "uncovered_at"})
"""Filters that leave fewer bookings than a state does."""


@lru_cache
def _listing(given: frozenset[str], follows: bool) -> Prepared[Visit]:  # noqa: FBT001  # the signature of Paging.rows
    """The query with these filters."""
    query = sqlalchemy.select(*(col(getattr(Booking, name)) for name in Visit._fields))
    for name in given & CONDITIONS.keys():
        query = query.where(CONDITIONS[name])
    if "state" in given:
        # A person has fewer bookings than a state, which the database does not know: hide the state's index.
        state = func.coalesce(col(Booking.state), "") if given & NARROW else col(Booking.state)
        query = query.where(state == bindparam("state"))
    if follows:
        query = query.where(after(ORDER, descending=True))
    return Prepared(query.order_by(*(each.desc() for each in ORDER)).limit(bindparam("limit")), Visit)


def page(session: Session, filters: Filters, paging: Paging) -> tuple[list[Visit], str | None]:
    """One page, the latest visits first."""
    values = {name: value for name in FILTERS if (value := getattr(filters, name)) is not None}
    # A query for each: with IN the database would sort all bookings of these states to find a page of them.
    states = [{"state": each} for each in dict.fromkeys(values.pop("states"))]
    given = frozenset(values) | ({"state"} if states else frozenset())
    if filters.uncovered_at is not None:
        values["uncovered_from"] = filters.uncovered_at - timedelta(minutes=MAXIMUM_MINUTES)
    if "client_ids" in values:
        values[AMONG] = values.pop("client_ids")
    return paging.rows(session, partial(_listing, given), ORDER, _key, states or ({},), **values)


def _key(visit: Visit) -> Key:
    return visit.starts_at, visit.id


def day(session: Session, cleaner_ids: Collection[str], interval: Interval) -> list[Booking]:
    """The visits of these cleaners that touch the interval and were not cancelled, by cleaner and time."""
    longest = timedelta(minutes=MAXIMUM_MINUTES)
    query = (
        select(Booking)
        .where(
            col(Booking.cleaner_id).in_(cleaner_ids),
            col(Booking.starts_at) > interval.start - longest,
            col(Booking.starts_at) < interval.end,
            col(Booking.ends_at) > interval.start,
            Booking.state != BookingState.CANCELLED,
        )
        .order_by(col(Booking.cleaner_id), col(Booking.starts_at), col(Booking.id))
    )
    return list(session.exec(query))


def figures(session: Session, start: datetime, end: datetime) -> Figures:
    """The period from `start` until before `end` in numbers."""
    within = (col(Booking.starts_at) >= start, col(Booking.starts_at) < end)
    found = Figures()
    by_state = (
        select(Booking.state, func.count(), func.sum(Booking.price), func.sum(Booking.cancellation_fee))
        .where(*within)
        .group_by(col(Booking.state))
    )
    for state, count, price, fee in session.exec(by_state):
        found.bookings[BookingState(state)] = count
        found.revenue += (price if state == BookingState.COMPLETED else 0) + fee
    found.cancellations = found.bookings[BookingState.CANCELLED]
    seconds = func.sum(extract("epoch", col(Booking.ends_at)) - extract("epoch", col(Booking.starts_at)))
    by_cleaner = (
        select(Booking.cleaner_id, seconds)
        .where(*within, col(Booking.cleaner_id).is_not(None), col(Booking.state).not_in(WITHOUT_WORK))
        .group_by(col(Booking.cleaner_id))
    )
    found.minutes = {cleaner: int(total) // 60 for cleaner, total in session.exec(by_cleaner) if cleaner}
    return found
