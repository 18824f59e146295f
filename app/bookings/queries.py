"""Reading bookings: lists, days, figures. Each goes through one of the table's indexes."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, extract
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from app.bookings.models import Booking, State
from app.catalog.schemas import MAXIMUM_MINUTES
from app.kit.pagination import Key, Paging
from app.staff.calendar import Interval

WITHOUT_WORK = (State.REQUESTED, State.CONFIRMED, State.CANCELLED)


@dataclass(frozen=True)
class Filters:
    """Which bookings; what is None does not matter."""

    state: State | None = None
    cleaner_id: str | None = None
    client_ids: Collection[str] | None = None
    """Few: whose names match a search, for example."""
    reference: str | None = None
    start: datetime | None = None
    """Visits that begin then or later."""
    end: datetime | None = None
    """Visits that begin before."""


@dataclass
class Figures:
    """A period in numbers; a booking belongs to it when its visit begins in it."""

    bookings: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    revenue: int = 0
    """Prices of what is completed and fees of what is cancelled, in minor units."""
    cancellations: int = 0
    minutes: dict[str, int] = field(default_factory=dict)
    """Of the visits that cleaners have, had or went to in vain, by cleaner."""


def query_of(filters: Filters) -> SelectOfScalar[Booking]:
    """What to list, without order."""
    query = select(Booking)
    narrowed = False
    if filters.reference is not None:
        query, narrowed = query.where(Booking.reference == filters.reference), True
    if filters.client_ids is not None:
        query, narrowed = query.where(col(Booking.client_id).in_(filters.client_ids)), True
    if filters.cleaner_id is not None:
        # One person's index at a time: without statistics the database may take either, and they cost the same.
        query, narrowed = query.where(Booking.cleaner_id == filters.cleaner_id), True
    if filters.state is not None:
        # A person has fewer bookings than a state, which the database does not know: hide the state's index.
        hidden = func.coalesce(col(Booking.state), "") == filters.state
        query = query.where(hidden if narrowed else col(Booking.state) == filters.state)
    if filters.start is not None:
        query = query.where(col(Booking.starts_at) >= filters.start)
    if filters.end is not None:
        query = query.where(col(Booking.starts_at) < filters.end)
    return query


def page(session: Session, filters: Filters, paging: Paging) -> tuple[list[Booking], str | None]:
    """One page, the latest visits first."""
    columns: list[ColumnElement[object]] = [col(Booking.starts_at), col(Booking.id)]  # type: ignore[list-item]
    return paging.page(session, query_of(filters), columns, _key, descending=True)


def _key(booking: Booking) -> Key:
    return booking.starts_at, booking.id


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
            Booking.state != State.CANCELLED,
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
        found.bookings[State(state)] = count
        found.revenue += (price if state == State.COMPLETED else 0) + fee
    found.cancellations = found.bookings[State.CANCELLED]
    seconds = func.sum(extract("epoch", col(Booking.ends_at)) - extract("epoch", col(Booking.starts_at)))
    by_cleaner = (
        select(Booking.cleaner_id, seconds)
        .where(*within, col(Booking.cleaner_id).is_not(None), col(Booking.state).not_in(WITHOUT_WORK))
        .group_by(col(Booking.cleaner_id))
    )
    found.minutes = {cleaner: int(total) // 60 for cleaner, total in session.exec(by_cleaner) if cleaner}
    return found
