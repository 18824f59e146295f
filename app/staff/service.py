"""Cleaners, their working hours, days off, ratings and available times."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, update
from sqlmodel import Session, col, select

from app.accounts.service import Accounts, Person
from app.kit.actor import Actor, Role
from app.kit.affected import AbsenceListener, AffectedVisit
from app.kit.conditional import Expected
from app.kit.database import Database
from app.kit.idempotency import Attempt
from app.kit.models import now
from app.kit.pagination import Page, Paging
from app.kit.prepared import Prepared
from app.kit.problems import NotFound
from app.settings import Settings
from app.staff import calendar
from app.staff.calendar import DAY, Interval, Travel, count_free, day_interval, load_calendars, slot_start, slots_in
from app.staff.models import SLOT_MINUTES, Cleaner, DayOff, WorkingHours
from app.staff.problems import DuplicateDayOff
from app.staff.schemas import (
    Availability,
    ChangedWeek,
    CleanerView,
    DayOffRequest,
    DayOffView,
    FreeDay,
    FreeSlot,
    NewDayOff,
    Shift,
    Week,
    WeekChange,
    to_clock_time,
    to_minutes,
)

DEFAULT_WEEK = [Shift(weekday=day, starts="09:00", ends="17:00") for day in range(5)]
"""Working hours of a new cleaner."""


@dataclass(frozen=True)
class CleanerProfile:
    """The data of a cleaner that clients can see."""

    id: str
    full_name: str
    rating: float | None
    """Average of all reviews; None without reviews."""
    rating_count: int


class _Rating(NamedTuple):
    account_id: str
    rating_total: int
    rating_count: int


RATINGS_QUERY = Prepared(
    select(col(Cleaner.account_id), col(Cleaner.rating_total), col(Cleaner.rating_count)).where(
        col(Cleaner.account_id).in_(bindparam("among", expanding=True))
    ),
    _Rating,
)


class Staff:
    """Manages cleaners, and answers when they are available."""

    def __init__(self, settings: Settings, database: Database, accounts: Accounts) -> None:
        self._settings = settings
        self._database = database
        self._accounts = accounts
        self._absence_listeners: list[AbsenceListener] = []

    def on_absence(self, listener: AbsenceListener) -> None:
        """Call `listener(session, cleaner_id)` within each transaction after which a cleaner works less.

        The listener returns the visits that the cleaner has lost.
        """
        self._absence_listeners.append(listener)

    async def availability(self, first: date, days: int, duration: int, address: str | None = None) -> Availability:
        """Return the times at which a visit can begin.

        Args:
            first: first day, in BUSINESS_TIMEZONE.
            days: number of days.
            duration: duration of the visit in minutes, a multiple of SLOT_MINUTES.
            address: address of the visit; None if unknown. Then every other visit counts as at another address.
        """
        return await self._database.read(
            lambda session: self.availability_at(session, first, days, duration, now(), address)
        )

    def availability_at(  # noqa: PLR0913, PLR0917  # the parameters of the request
        self,
        session: Session,
        first: date,
        days: int,
        duration: int,
        at: datetime,
        address: str | None = None,
    ) -> Availability:
        """Return the same as `availability`, for a request at the time `at`."""
        zone, length = self._settings.zone, duration // SLOT_MINUTES
        requested_days = [first + number * DAY for number in range(days)]
        bookable = self.bookable_period(at)
        # Requests for days that cannot be booked must not cost a query.
        bookable_days = [day for day in requested_days if _overlap(day_interval(day, zone), bookable)]
        travel = Travel(slots_in(self._settings.booking_travel_minutes), address)
        calendars = load_calendars(session, bookable_days, zone, travel=travel) if bookable_days else []
        free_days = []
        for day in requested_days:
            slots = day_interval(day, zone).starting_slots if day in bookable_days else range(0)
            free_days.append(
                FreeDay(
                    date=day,
                    slots=[
                        FreeSlot(starts_at=slot_start(slot), ends_at=slot_start(slot + length), cleaners=count)
                        for slot, count in zip(slots, count_free(calendars, slots, length), strict=True)
                        if count and bookable.start <= slot_start(slot) < bookable.end
                    ],
                )
            )
        return Availability(timezone=zone.key, duration_minutes=duration, days=free_days)

    def bookable_period(self, at: datetime) -> Interval:
        """Return the period in which a visit booked now must begin: BOOKING_NOTICE_HOURS to BOOKING_HORIZON_DAYS."""
        return Interval(
            at + timedelta(hours=self._settings.booking_notice_hours),
            at + timedelta(days=self._settings.booking_horizon_days),
        )

    async def cleaners(self, paging: Paging) -> Page[CleanerView]:
        """Return one page of all current and former cleaners, in the order in which they became cleaners.

        Raises:
            ValidationFailed: the cursor is not valid for this list.
        """
        return await self._database.read(lambda session: self.cleaner_page(session, paging))

    def cleaner_page(self, session: Session, paging: Paging) -> Page[CleanerView]:
        """Return the same as `cleaners`, within a transaction."""
        columns: list[Any] = [col(Cleaner.created_at), col(Cleaner.account_id)]
        rows, cursor = paging.page(session, select(Cleaner), columns, lambda row: (row.created_at, row.account_id))
        people = self._accounts.people(session, [row.account_id for row in rows])
        return Page(items=[_cleaner_view(row, people[row.account_id]) for row in rows], next_cursor=cursor)

    async def cleaner(self, actor: Actor, cleaner_id: str) -> CleanerView:
        """Return a cleaner.

        Raises:
            NotFound: the cleaner does not exist, or the actor is another cleaner.
        """

        def read(session: Session) -> CleanerView:
            cleaner = _accessible_cleaner(actor, session, cleaner_id)
            return _cleaner_view(cleaner, self._accounts.people(session, [cleaner_id])[cleaner_id])

        return await self._database.read(read)

    async def week(self, actor: Actor, cleaner_id: str) -> Week:
        """Return the cleaner's working hours. Raises the errors of `cleaner`."""
        return await self._database.read(
            lambda session: self._week(session, _accessible_cleaner(actor, session, cleaner_id))
        )

    async def change_week(self, actor: Actor, cleaner_id: str, change: WeekChange, expected: Expected) -> ChangedWeek:
        """Replace the cleaner's working hours. The cleaner loses future visits outside them.

        Raises:
            NotFound: the cleaner does not exist, or the actor is another cleaner.
            PreconditionFailed: the working hours have another version than `expected`.
        """

        def write(session: Session) -> ChangedWeek:
            cleaner = _accessible_cleaner(actor, session, cleaner_id)
            calendar.lock_cleaner(session, cleaner_id)
            expected.check(cleaner)
            session.execute(delete(WorkingHours).where(col(WorkingHours.cleaner_id) == cleaner_id))
            _set_week(session, cleaner_id, change.hours)
            cleaner.version += 1
            session.flush()
            affected = self._notify_absence(session, cleaner_id)
            return ChangedWeek(**self._week(session, cleaner).model_dump(), affected_visits=affected)

        return await self._database.write(write)

    async def days_off(self, actor: Actor, cleaner_id: str, paging: Paging) -> Page[DayOffView]:
        """Return one page of the cleaner's days off, latest first. Raises the errors of `cleaner` and `cleaners`."""
        columns: list[Any] = [col(DayOff.last_day), col(DayOff.first_day), col(DayOff.id)]

        def read(session: Session) -> Page[DayOffView]:
            _accessible_cleaner(actor, session, cleaner_id)
            rows, cursor = paging.page(
                session,
                select(DayOff).where(DayOff.cleaner_id == cleaner_id),
                columns,
                lambda row: (row.last_day, row.first_day, row.id),
                descending=True,
            )
            return Page(items=[DayOffView.model_validate(row) for row in rows], next_cursor=cursor)

        return await self._database.read(read)

    async def add_day_off(self, actor: Actor, cleaner_id: str, request: DayOffRequest, attempt: Attempt) -> NewDayOff:
        """Add days off. The cleaner loses future visits on these days.

        Raises:
            NotFound: the cleaner does not exist, or the actor is another cleaner.
            DuplicateDayOff: the cleaner already has exactly these days off.
            IdempotencyKeyReused: the key belongs to another request.
        """

        def add(session: Session) -> NewDayOff:
            _accessible_cleaner(actor, session, cleaner_id)
            calendar.lock_cleaner(session, cleaner_id)
            same = select(DayOff.id).where(
                DayOff.cleaner_id == cleaner_id,
                DayOff.last_day == request.last_day,
                DayOff.first_day == request.first_day,
            )
            known = session.exec(same.limit(1)).first()
            if known is not None:
                raise DuplicateDayOff(existing_id=known)
            row = DayOff(cleaner_id=cleaner_id, **request.model_dump())
            session.add(row)
            session.flush()
            affected = self._notify_absence(session, cleaner_id)
            return NewDayOff(**DayOffView.model_validate(row).model_dump(), affected_visits=affected)

        return await self._database.write(
            lambda session: attempt.once(session, actor.id, NewDayOff, lambda: add(session), about_id=cleaner_id)
        )

    async def remove_day_off(self, actor: Actor, cleaner_id: str, day_off_id: str) -> None:
        """Remove days off.

        Raises:
            NotFound: the days off do not exist, or the actor is another cleaner.
        """

        def write(session: Session) -> None:
            _accessible_cleaner(actor, session, cleaner_id)
            row = session.get(DayOff, day_off_id)
            if row is None or row.cleaner_id != cleaner_id:
                raise NotFound
            session.delete(row)

        await self._database.write(write)

    def profile(self, session: Session, cleaner_id: str) -> CleanerProfile:
        """Return the public profile of a cleaner.

        Raises:
            NotFound: the cleaner does not exist.
        """
        profile = self.profiles(session, [cleaner_id]).get(cleaner_id)
        if profile is None:
            raise NotFound
        return profile

    def profiles(self, session: Session, ids: Iterable[str]) -> dict[str, CleanerProfile]:
        """Return public profiles by id. Unknown ids are left out."""
        unique_ids = set(ids)
        people = self._accounts.people(session, unique_ids)
        return {
            each.account_id: CleanerProfile(
                each.account_id, people[each.account_id].full_name, _rating(each), each.rating_count
            )
            for each in RATINGS_QUERY.rows(session, among=unique_ids)
        }

    def ratings(self, session: Session, ids: Collection[str]) -> dict[str, float | None]:
        """Return the average of all reviews by cleaner; None without reviews."""
        return {each.account_id: _rating(each) for each in RATINGS_QUERY.rows(session, among=ids)}

    def add_rating(self, session: Session, cleaner_id: str, stars: int) -> None:
        """Add a review to the rating. The database does the addition, so that simultaneous reviews all count."""
        session.execute(
            update(Cleaner)
            .where(col(Cleaner.account_id) == cleaner_id)
            .values(rating_total=col(Cleaner.rating_total) + stars, rating_count=col(Cleaner.rating_count) + 1)
        )

    def role_changed(
        self,
        session: Session,
        account_id: str,
        role: Role,
        is_active: bool,  # noqa: FBT001  # the signature of all listeners
    ) -> list[AffectedVisit]:
        """Listener: make an active cleaner bookable and every other account not. Returns the visits that are lost."""
        cleaner = session.get(Cleaner, account_id)
        if cleaner is None:
            if role is not Role.CLEANER:
                return []
            cleaner = Cleaner(account_id=account_id)
            session.add(cleaner)
            session.flush()
            _set_week(session, account_id, DEFAULT_WEEK)
        calendar.lock_cleaner(session, account_id)
        cleaner.is_bookable = role is Role.CLEANER and is_active
        session.flush()
        return [] if cleaner.is_bookable else self._notify_absence(session, account_id)

    def erase(self, session: Session, account_id: str) -> None:
        """Listener: erase the reasons of days off, and make the cleaner not bookable."""
        session.execute(update(DayOff).where(col(DayOff.cleaner_id) == account_id).values(reason=""))
        session.execute(update(Cleaner).where(col(Cleaner.account_id) == account_id).values(is_bookable=False))

    def export(self, session: Session, account_id: str) -> object:
        """Listener: return the data stored about a cleaner; None for any other account."""
        cleaner = session.get(Cleaner, account_id)
        if cleaner is None:
            return None
        days_off = session.exec(
            select(DayOff)
            .where(DayOff.cleaner_id == account_id)
            .order_by(col(DayOff.last_day), col(DayOff.first_day), col(DayOff.id))
        )
        return {
            "since": cleaner.created_at.isoformat(),
            "rating": _rating(cleaner),
            "rating_count": cleaner.rating_count,
            "working_hours": self._week(session, cleaner).model_dump(mode="json")["hours"],
            "days_off": [DayOffView.model_validate(each).model_dump(mode="json") for each in days_off],
        }

    def _notify_absence(self, session: Session, cleaner_id: str) -> list[AffectedVisit]:
        """Notify the listeners that the cleaner works less, and return the visits that the cleaner has lost."""
        return [visit for listener in self._absence_listeners for visit in listener(session, cleaner_id)]

    def _week(self, session: Session, cleaner: Cleaner) -> Week:
        rows = session.exec(
            select(WorkingHours)
            .where(WorkingHours.cleaner_id == cleaner.account_id)
            .order_by(col(WorkingHours.weekday), col(WorkingHours.starts))
        )
        shifts = [
            Shift(weekday=row.weekday, starts=to_clock_time(row.starts), ends=to_clock_time(row.ends)) for row in rows
        ]
        return Week(timezone=self._settings.business_timezone, hours=shifts, version=cleaner.version)


def _accessible_cleaner(actor: Actor, session: Session, cleaner_id: str) -> Cleaner:
    """Return the cleaner if the actor is in the office or is the cleaner; raises NotFound otherwise."""
    cleaner = session.get(Cleaner, cleaner_id) if actor.in_office or actor.id == cleaner_id else None
    if cleaner is None:
        raise NotFound
    return cleaner


def _set_week(session: Session, cleaner_id: str, shifts: Iterable[Shift]) -> None:
    session.add_all(
        WorkingHours(
            cleaner_id=cleaner_id, weekday=each.weekday, starts=to_minutes(each.starts), ends=to_minutes(each.ends)
        )
        for each in shifts
    )
    session.flush()


def _rating(cleaner: Cleaner | _Rating) -> float | None:
    return round(cleaner.rating_total / cleaner.rating_count, 2) if cleaner.rating_count else None


def _cleaner_view(cleaner: Cleaner, person: Person) -> CleanerView:
    return CleanerView(
        id=person.id,
        full_name=person.full_name,
        email=person.email,
        phone=person.phone,
        is_bookable=cleaner.is_bookable,
        rating=_rating(cleaner),
        rating_count=cleaner.rating_count,
    )


def _overlap(one: Interval, other: Interval) -> bool:
    return one.start < other.end and other.start < one.end
