"""Cleaners, their hours and their free time."""

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
from app.staff.calendar import DAY, Interval, Travel, count_free, day_interval, free_times, slot_start, slots_in
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
    clock,
    minutes,
)

DEFAULT_WEEK = [Shift(weekday=day, starts="09:00", ends="17:00") for day in range(5)]
"""What a new cleaner begins with."""


@dataclass(frozen=True)
class CleanerProfile:
    """A cleaner as clients see them."""

    id: str
    full_name: str
    rating: float | None
    """Average of all reviews; None without any."""
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
    """Cleaners, their hours and their free time."""

    def __init__(self, settings: Settings, database: Database, accounts: Accounts) -> None:
        self._settings = settings
        self._database = database
        self._accounts = accounts
        self._absence_listeners: list[AbsenceListener] = []

    def on_absence(self, listener: AbsenceListener) -> None:
        """Have `listener(session, cleaner_id)` called in the transaction after which a cleaner works less.

        It returns the visits that were the cleaner's until then.
        """
        self._absence_listeners.append(listener)

    async def availability(self, first: date, days: int, duration: int, address: str | None = None) -> Availability:
        """When visits can begin.

        Args:
            first: day of the business.
            days: how many, from there on.
            duration: minutes, a multiple of SLOT_MINUTES.
            address: where; None: not at any address where a cleaner has another visit.
        """
        return await self._database.read(lambda session: self.free_days(session, first, days, duration, now(), address))

    def free_days(  # noqa: PLR0913, PLR0917  # a question in full
        self,
        session: Session,
        first: date,
        days: int,
        duration: int,
        at: datetime,
        address: str | None = None,
    ) -> Availability:
        """Like `availability`, for someone who asks at the moment `at`."""
        zone, length = self._settings.zone, duration // SLOT_MINUTES
        wanted = [first + number * DAY for number in range(days)]
        bookable = self.bookable(at)
        # Whoever asks for other days costs no more than the answer that there is nothing.
        near = [day for day in wanted if _overlap(day_interval(day, zone), bookable)]
        travel = Travel(slots_in(self._settings.booking_travel_minutes), address)
        cleaners = free_times(session, near, zone, travel=travel) if near else []
        answer = []
        for day in wanted:
            slots = day_interval(day, zone).slots_beginning if day in near else range(0)
            answer.append(
                FreeDay(
                    date=day,
                    slots=[
                        FreeSlot(starts_at=slot_start(slot), ends_at=slot_start(slot + length), cleaners=count)
                        for slot, count in zip(slots, count_free(cleaners, slots, length), strict=True)
                        if count and bookable.start <= slot_start(slot) < bookable.end
                    ],
                )
            )
        return Availability(timezone=zone.key, duration_minutes=duration, days=answer)

    def bookable(self, at: datetime) -> Interval:
        """In which a visit must begin that is booked at this moment: BOOKING_NOTICE_HOURS, BOOKING_HORIZON_DAYS."""
        return Interval(
            at + timedelta(hours=self._settings.booking_notice_hours),
            at + timedelta(days=self._settings.booking_horizon_days),
        )

    async def cleaners(self, paging: Paging) -> Page[CleanerView]:
        """Everybody who has ever been a cleaner, the longest-serving first.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        return await self._database.read(lambda session: self.listing(session, paging))

    def listing(self, session: Session, paging: Paging) -> Page[CleanerView]:
        """Like `cleaners`, within a transaction."""
        columns: list[Any] = [col(Cleaner.created_at), col(Cleaner.account_id)]
        rows, cursor = paging.page(session, select(Cleaner), columns, lambda row: (row.created_at, row.account_id))
        people = self._accounts.people(session, [row.account_id for row in rows])
        return Page(items=[_view(row, people[row.account_id]) for row in rows], next_cursor=cursor)

    async def cleaner(self, actor: Actor, cleaner_id: str) -> CleanerView:
        """One cleaner.

        Raises:
            NotFound: there is no such cleaner, or the actor is another one.
        """

        def read(session: Session) -> CleanerView:
            cleaner = _for(actor, session, cleaner_id)
            return _view(cleaner, self._accounts.people(session, [cleaner_id])[cleaner_id])

        return await self._database.read(read)

    async def week(self, actor: Actor, cleaner_id: str) -> Week:
        """The cleaner's working hours; raises as `cleaner` does."""
        return await self._database.read(lambda session: self._week(session, _for(actor, session, cleaner_id)))

    async def change_week(self, actor: Actor, cleaner_id: str, change: WeekChange, expected: Expected) -> ChangedWeek:
        """Replace the cleaner's working hours; visits to come that are outside them lose the cleaner.

        Raises:
            NotFound: there is no such cleaner, or the actor is another one.
            PreconditionFailed: they have changed in the meantime.
        """

        def write(session: Session) -> ChangedWeek:
            cleaner = _for(actor, session, cleaner_id)
            calendar.lock(session, cleaner_id)
            expected.check(cleaner)
            session.execute(delete(WorkingHours).where(col(WorkingHours.cleaner_id) == cleaner_id))
            _set_week(session, cleaner_id, change.hours)
            cleaner.version += 1
            session.flush()
            affected = self._absent(session, cleaner_id)
            return ChangedWeek(**self._week(session, cleaner).model_dump(), affected_visits=affected)

        return await self._database.write(write)

    async def days_off(self, actor: Actor, cleaner_id: str, paging: Paging) -> Page[DayOffView]:
        """The cleaner's days off, the last ones first; raises as `cleaner` and `cleaners` do."""
        columns: list[Any] = [col(DayOff.last_day), col(DayOff.first_day), col(DayOff.id)]

        def read(session: Session) -> Page[DayOffView]:
            _for(actor, session, cleaner_id)
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
        """Take the cleaner off work, and off the visits to come on these days.

        Raises:
            NotFound: there is no such cleaner, or the actor is another one.
            DuplicateDayOff: the cleaner has just these days off already.
            IdempotencyKeyReused: the key belongs to another request.
        """

        def add(session: Session) -> NewDayOff:
            _for(actor, session, cleaner_id)
            calendar.lock(session, cleaner_id)
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
            affected = self._absent(session, cleaner_id)
            return NewDayOff(**DayOffView.model_validate(row).model_dump(), affected_visits=affected)

        return await self._database.write(
            lambda session: attempt.once(session, actor.id, NewDayOff, lambda: add(session), about_id=cleaner_id)
        )

    async def remove_day_off(self, actor: Actor, cleaner_id: str, day_off_id: str) -> None:
        """Let the cleaner work on these days again.

        Raises:
            NotFound: there is no such entry, or the actor is another cleaner.
        """

        def write(session: Session) -> None:
            _for(actor, session, cleaner_id)
            row = session.get(DayOff, day_off_id)
            if row is None or row.cleaner_id != cleaner_id:
                raise NotFound
            session.delete(row)

        await self._database.write(write)

    def profile(self, session: Session, cleaner_id: str) -> CleanerProfile:
        """A cleaner as clients see them.

        Raises:
            NotFound: there is no such cleaner.
        """
        profile = self.profiles(session, [cleaner_id]).get(cleaner_id)
        if profile is None:
            raise NotFound
        return profile

    def profiles(self, session: Session, ids: Iterable[str]) -> dict[str, CleanerProfile]:
        """Cleaners by id; unknown ones are left out."""
        wanted = set(ids)
        people = self._accounts.people(session, wanted)
        return {
            each.account_id: CleanerProfile(
                each.account_id, people[each.account_id].full_name, _rating(each), each.rating_count
            )
            for each in RATINGS_QUERY.rows(session, among=wanted)
        }

    def ratings(self, session: Session, ids: Collection[str]) -> dict[str, float | None]:
        """Averages of all reviews, by cleaner; None without any."""
        return {each.account_id: _rating(each) for each in RATINGS_QUERY.rows(session, among=ids)}

    def add_rating(self, session: Session, cleaner_id: str, stars: int) -> None:
        """Count a review; the database adds, so that none is lost with two at once."""
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
        """Listener: make whoever becomes a cleaner bookable, and nobody else; returns the visits they lose by it."""
        cleaner = session.get(Cleaner, account_id)
        if cleaner is None:
            if role is not Role.CLEANER:
                return []
            cleaner = Cleaner(account_id=account_id)
            session.add(cleaner)
            session.flush()
            _set_week(session, account_id, DEFAULT_WEEK)
        calendar.lock(session, account_id)
        cleaner.is_bookable = role is Role.CLEANER and is_active
        session.flush()
        return [] if cleaner.is_bookable else self._absent(session, account_id)

    def erase(self, session: Session, account_id: str) -> None:
        """Listener: forget why somebody was off work; nobody can book them any more."""
        session.execute(update(DayOff).where(col(DayOff.cleaner_id) == account_id).values(reason=""))
        session.execute(update(Cleaner).where(col(Cleaner.account_id) == account_id).values(is_bookable=False))

    def export(self, session: Session, account_id: str) -> object:
        """Listener: what is stored about a cleaner; None about anybody else."""
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

    def _absent(self, session: Session, cleaner_id: str) -> list[AffectedVisit]:
        """Tell the listeners that the cleaner works less; returns the visits that were theirs until now."""
        return [visit for listener in self._absence_listeners for visit in listener(session, cleaner_id)]

    def _week(self, session: Session, cleaner: Cleaner) -> Week:
        rows = session.exec(
            select(WorkingHours)
            .where(WorkingHours.cleaner_id == cleaner.account_id)
            .order_by(col(WorkingHours.weekday), col(WorkingHours.starts))
        )
        shifts = [Shift(weekday=row.weekday, starts=clock(row.starts), ends=clock(row.ends)) for row in rows]
        return Week(timezone=self._settings.business_timezone, hours=shifts, version=cleaner.version)


def _for(actor: Actor, session: Session, cleaner_id: str) -> Cleaner:
    """The cleaner, for the office and for themselves; raises NotFound."""
    cleaner = session.get(Cleaner, cleaner_id) if actor.in_office or actor.id == cleaner_id else None
    if cleaner is None:
        raise NotFound
    return cleaner


def _set_week(session: Session, cleaner_id: str, shifts: Iterable[Shift]) -> None:
    session.add_all(
        WorkingHours(cleaner_id=cleaner_id, weekday=each.weekday, starts=minutes(each.starts), ends=minutes(each.ends))
        for each in shifts
    )
    session.flush()


def _rating(cleaner: Cleaner | _Rating) -> float | None:
    return round(cleaner.rating_total / cleaner.rating_count, 2) if cleaner.rating_count else None


def _view(cleaner: Cleaner, person: Person) -> CleanerView:
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
