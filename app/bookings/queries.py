"""Queries for lists, schedules and key figures. Each uses one of the table's indexes."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import ColumnElement, and_, bindparam, extract
from sqlmodel import Session, col, func, select

from app.bookings.models import BookingRecord, BookingState
from app.catalog.schemas import MAXIMUM_MINUTES
from app.kit.pagination import Key, Paging, after
from app.kit.prepared import AMONG, Prepared
from app.staff.calendar import Interval

STATES_WITHOUT_WORK = (BookingState.REQUESTED, BookingState.CONFIRMED, BookingState.CANCELLED)


@dataclass(frozen=True)
class BookingFilters:
    """Filters of a list of bookings; None means no restriction."""

    states: Collection[BookingState] = ()
    """Only these states; all if empty."""
    cleaner_id: str | None = None
    client_ids: Collection[str] | None = None
    """A small set, for example the clients that match a search."""
    reference: str | None = None
    start: datetime | None = None
    """Only visits that start at or after this time."""
    end: datetime | None = None
    """Only visits that start before this time."""
    uncovered_at: datetime | None = None
    """Only requested or confirmed bookings without a cleaner that have not ended at this time."""


FILTER_NAMES = tuple(each.name for each in fields(BookingFilters))


@dataclass
class PeriodTotals:
    """Key figures of a period; a booking belongs to the period in which its visit starts."""

    bookings: dict[BookingState, int] = field(default_factory=lambda: dict.fromkeys(BookingState, 0))
    revenue: int = 0
    """Prices of completed visits plus cancellation fees, in minor units."""
    cancellations: int = 0
    minutes: dict[str, int] = field(default_factory=dict)
    """Total duration of visits by cleaner, including no-shows."""


class ListedBooking(NamedTuple):
    """The columns of a booking as the list query reads them."""

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


SORT_COLUMNS: Any = (col(BookingRecord.starts_at), col(BookingRecord.id))
CONDITIONS: dict[str, ColumnElement[bool]] = {
    "reference": col(BookingRecord.reference) == bindparam("reference"),
    "client_ids": col(BookingRecord.client_id).in_(bindparam("among", expanding=True)),
    "cleaner_id": col(BookingRecord.cleaner_id) == bindparam("cleaner_id"),
    "start": col(BookingRecord.starts_at) >= bindparam("start"),
    "end": col(BookingRecord.starts_at) < bindparam("end"),
    # coalesce() hides the index on state: the index on cleaner finds the few upcoming visits without a cleaner.
    "uncovered_at": and_(
        col(BookingRecord.cleaner_id).is_(None),
        col(BookingRecord.starts_at) > bindparam("uncovered_from"),
        col(BookingRecord.ends_at) > bindparam("uncovered_at"),
        func.coalesce(col(BookingRecord.state), "") != BookingState.CANCELLED.value,
    ),
}
SELECTIVE_FILTERS = frozenset({"reference", "client_ids", "cleaner_id", "uncovered_at"})
"""Filters that match fewer bookings than a state does."""


@lru_cache
def _page_query(given: frozenset[str], follows: bool) -> Prepared[ListedBooking]:  # noqa: FBT001  # see Paging.rows
    """The query with the given filters."""
    query = sqlalchemy.select(*(col(getattr(BookingRecord, name)) for name in ListedBooking._fields))
    for name in given & CONDITIONS.keys():
        query = query.where(CONDITIONS[name])
    if "state" in given:
        # The database does not know that a person has fewer bookings than a state: hide the index on state.
        state = func.coalesce(col(BookingRecord.state), "") if given & SELECTIVE_FILTERS else col(BookingRecord.state)
        query = query.where(state == bindparam("state"))
    if follows:
        query = query.where(after(SORT_COLUMNS, descending=True))
    return Prepared(query.order_by(*(each.desc() for each in SORT_COLUMNS)).limit(bindparam("limit")), ListedBooking)


def page(session: Session, filters: BookingFilters, paging: Paging) -> tuple[list[ListedBooking], str | None]:
    """One page of bookings, latest visits first."""
    values = {name: value for name in FILTER_NAMES if (value := getattr(filters, name)) is not None}
    # One query for each state: with IN the database would sort all bookings of these states to return one page.
    states = [{"state": each} for each in dict.fromkeys(values.pop("states"))]
    given = frozenset(values) | ({"state"} if states else frozenset())
    if filters.uncovered_at is not None:
        values["uncovered_from"] = filters.uncovered_at - timedelta(minutes=MAXIMUM_MINUTES)
    if "client_ids" in values:
        values[AMONG] = values.pop("client_ids")
    return paging.rows(session, partial(_page_query, given), SORT_COLUMNS, _sort_key, states or ({},), **values)


def _sort_key(booking: ListedBooking) -> Key:
    return booking.starts_at, booking.id


def visits_in(session: Session, cleaner_ids: Collection[str], interval: Interval) -> list[BookingRecord]:
    """The visits of the cleaners that overlap the interval and are not cancelled, by cleaner and start time."""
    longest = timedelta(minutes=MAXIMUM_MINUTES)
    query = (
        select(BookingRecord)
        .where(
            col(BookingRecord.cleaner_id).in_(cleaner_ids),
            col(BookingRecord.starts_at) > interval.start - longest,
            col(BookingRecord.starts_at) < interval.end,
            col(BookingRecord.ends_at) > interval.start,
            BookingRecord.state != BookingState.CANCELLED,
        )
        .order_by(col(BookingRecord.cleaner_id), col(BookingRecord.starts_at), col(BookingRecord.id))
    )
    return list(session.exec(query))


def period_totals(session: Session, start: datetime, end: datetime) -> PeriodTotals:
    """The key figures of the period from `start` (included) to `end` (excluded)."""
    within = (col(BookingRecord.starts_at) >= start, col(BookingRecord.starts_at) < end)
    totals = PeriodTotals()
    by_state = (
        select(
            BookingRecord.state, func.count(), func.sum(BookingRecord.price), func.sum(BookingRecord.cancellation_fee)
        )
        .where(*within)
        .group_by(col(BookingRecord.state))
    )
    for state, count, price, fee in session.exec(by_state):
        totals.bookings[BookingState(state)] = count
        totals.revenue += (price if state == BookingState.COMPLETED else 0) + fee
    totals.cancellations = totals.bookings[BookingState.CANCELLED]
    seconds = func.sum(extract("epoch", col(BookingRecord.ends_at)) - extract("epoch", col(BookingRecord.starts_at)))
    by_cleaner = (
        select(BookingRecord.cleaner_id, seconds)
        .where(
            *within, col(BookingRecord.cleaner_id).is_not(None), col(BookingRecord.state).not_in(STATES_WITHOUT_WORK)
        )
        .group_by(col(BookingRecord.cleaner_id))
    )
    totals.minutes = {cleaner: int(total) // 60 for cleaner, total in session.exec(by_cleaner) if cleaner}
    return totals
