"""Bookings from the request to the end. Every change is one transaction on one locked row."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings import assignment, policy, queries, schemas
from app.bookings.answers import Answers
from app.bookings.cover import Cover
from app.bookings.duplicates import refuse_duplicate
from app.bookings.history import follow, note
from app.bookings.messages import Messages
from app.bookings.models import Booking, BookingEvent, BookingState
from app.bookings.ordering import Ordering
from app.bookings.personal import Personal
from app.bookings.queries import Figures, Filters
from app.bookings.states import OPEN, RULES, Transition, require
from app.catalog.service import Catalog
from app.kit.actor import Actor, Role
from app.kit.conditional import Expected
from app.kit.database import Database
from app.kit.idempotency import Attempt
from app.kit.models import now
from app.kit.pagination import Page, Paging
from app.kit.places import place_of
from app.kit.problems import NotFound
from app.notifications.service import Notifications
from app.settings import Settings
from app.staff.calendar import Interval
from app.staff.service import Staff

Seen = tuple[schemas.Booking, int]
"""A booking and its version."""
Change = Callable[[Session, Booking], None]


@dataclass(frozen=True)
class Features:
    """The other features that bookings need."""

    accounts: Accounts
    catalog: Catalog
    staff: Staff
    notifications: Notifications


class Bookings:
    """What can be done with bookings.

    Methods that take an actor trust that the role may use the operation; they check whose booking it is. Those
    that change one raise NotFound, WrongState and PreconditionFailed (it has changed since the actor read it) besides
    what they name.
    """

    def __init__(self, settings: Settings, database: Database, features: Features) -> None:
        accounts, notifications = features.accounts, features.notifications
        self._settings = settings
        self._accounts = accounts
        self._database = database
        self._messages = Messages(settings, accounts, notifications)
        self._answers = Answers(settings, accounts, features.staff)
        self._ordering = Ordering(settings, accounts, features.catalog, self._messages)
        self.personal = Personal(settings, self._answers, self._messages)
        features.staff.on_absence(Cover(settings, accounts, self._messages).restore)
        accounts.on_erase(self.personal.erase)
        accounts.on_export("bookings", self.personal.export)

    async def create(self, actor: Actor, order: schemas.NewBooking, attempt: Attempt) -> schemas.Booking:
        """Book a visit, once for each attempt; its version is 1.

        Raises:
            ValidationFailed: the service, an extra or the client is unknown or missing.
            VisitTooLong: it takes more than one visit.
            TooSoon: less notice than needed.
            TooLate: beyond the horizon.
            DuplicateBooking: the client has the same booked already, and does not insist.
            SlotUnavailable: nobody is free.
            IdempotencyKeyReused: the attempt repeats another request's key.
        """

        def work(session: Session) -> schemas.Booking:
            return attempt.once(
                session,
                actor.id,
                schemas.Booking,
                lambda: self._answers.one(session, self._ordering.place(session, actor, order)),
                about_id=order.client_id,
            )

        return await self._database.write(work)

    def mine(self, session: Session, actor: Actor, filters: Filters, paging: Paging) -> Page[schemas.Booking]:
        """The actor's own bookings: a client's, or those a cleaner is assigned to.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        return self.listing(session, own(actor, filters), paging)

    async def read(self, actor: Actor, booking_id: str) -> Seen:
        """One booking.

        Raises:
            NotFound: there is none that the actor may see.
        """

        def work(session: Session) -> Seen:
            booking = _visible(session, actor, booking_id)
            return self._answers.one(session, booking), booking.version

        return await self._database.read(work)

    async def history(self, actor: Actor, booking_id: str, paging: Paging) -> Page[schemas.HistoryEntry]:
        """What happened to a booking, the first first.

        Raises:
            NotFound: there is none that the actor may see.
            ValidationFailed: the cursor is not one of this list's.
        """

        def work(session: Session) -> Page[schemas.HistoryEntry]:
            _visible(session, actor, booking_id)
            query = select(BookingEvent).where(BookingEvent.booking_id == booking_id)
            columns = cast("list[ColumnElement[object]]", [col(BookingEvent.id)])
            events, cursor = paging.page(session, query, columns, lambda event: (event.id or 0,))
            return Page(items=self._answers.history(session, events), next_cursor=cursor)

        return await self._database.read(work)

    async def change(self, actor: Actor, booking_id: str, request: schemas.BookingChange, expected: Expected) -> Seen:
        """Change address or notes; a cleaner who would not get to the new address in time is replaced.

        Raises:
            DuplicateBooking: the client has the same booked already, and the actor does not insist.
            SlotUnavailable: nobody would get there in time.
        """

        def work(session: Session, booking: Booking) -> None:
            fields = request.model_dump(exclude_unset=True, exclude={"allow_duplicate"})
            changed = sorted(name for name, value in fields.items() if getattr(booking, name) != value)
            moves = "address" in changed and place_of(fields["address"]) != place_of(booking.address)
            if moves and booking.state in OPEN and not request.allow_duplicate:
                refuse_duplicate(
                    session, self._accounts, booking, starts_at=booking.starts_at, address=fields["address"]
                )
            in_time = moves and self._is_in_time(session, booking)
            for name in changed:
                setattr(booking, name, fields[name])
            if changed:
                note(session, booking, RULES[Transition.CHANGE].event, actor.id, fields=changed)
            if in_time and not self._is_in_time(session, booking):
                self._replace(session, booking)

        return await self._change(actor, booking_id, Transition.CHANGE, work, expected)

    async def reschedule(
        self, actor: Actor, booking_id: str, request: schemas.Rescheduling, expected: Expected
    ) -> Seen:
        """Move a visit; the cleaner goes with it if free then, otherwise somebody else who is.

        Raises:
            TooSoon: less notice than needed, of the new time or the old.
            TooLate: beyond the horizon.
            DuplicateBooking: the client has the same booked then already, and the actor does not insist.
            SlotUnavailable: nobody is free then.
        """

        def work(session: Session, booking: Booking) -> None:
            at, starts_at = now(), request.starts_at
            if not actor.in_office:
                policy.require_movable(self._settings, booking, at)
            policy.require_bookable(self._settings, starts_at, at, in_office=actor.in_office)
            if starts_at != booking.starts_at and not request.allow_duplicate:
                refuse_duplicate(session, self._accounts, booking, starts_at=starts_at, address=booking.address)
            self._move(session, actor, booking, starts_at)

        return await self._change(actor, booking_id, Transition.RESCHEDULE, work, expected)

    async def confirm(self, actor: Actor, booking_id: str, expected: Expected) -> Seen:
        """Say yes to a requested booking."""

        def work(session: Session, booking: Booking) -> None:
            follow(session, booking, Transition.CONFIRM, actor.id)
            self._messages.confirmed(session, booking)

        return await self._change(actor, booking_id, Transition.CONFIRM, work, expected)

    async def assign(self, actor: Actor, booking_id: str, cleaner_id: str | None, expected: Expected) -> Seen:
        """Send this cleaner, or with None the least loaded one; a requested booking is confirmed first.

        Raises:
            ValidationFailed: there is no such cleaner.
            SlotUnavailable: the cleaner, or everybody, is not free.
        """

        def work(session: Session, booking: Booking) -> None:
            settings, before = self._settings, booking.cleaner_id
            if cleaner_id is not None:
                assignment.require_free(session, settings, booking, cleaner_id)
            chosen = cleaner_id or assignment.least_loaded(session, settings, booking, assignment.visit_of(booking))
            if booking.state == BookingState.REQUESTED:
                follow(session, booking, Transition.CONFIRM, actor.id)
            assignment.vacate(session, booking)
            booking.cleaner_id = chosen
            assignment.occupy(session, booking)
            follow(session, booking, Transition.ASSIGN, actor.id, cleaner_id=chosen)
            self._messages.assigned(session, booking, before=before)

        return await self._change(actor, booking_id, Transition.ASSIGN, work, expected)

    async def start(self, actor: Actor, booking_id: str, expected: Expected) -> Seen:
        """Begin the visit.

        Raises:
            TooEarly: long before its time.
        """

        def work(session: Session, booking: Booking) -> None:
            policy.require_startable(booking, now())
            follow(session, booking, Transition.START, actor.id)

        return await self._change(actor, booking_id, Transition.START, work, expected)

    async def complete(self, actor: Actor, booking_id: str, expected: Expected) -> Seen:
        """End the visit; what is left of its time is free again.

        Raises:
            TooEarly: before the visit's time.
        """

        def work(session: Session, booking: Booking) -> None:
            policy.require_begun(booking, now(), "A visit can be completed from its time on, also when it began early.")
            assignment.vacate(session, booking)
            follow(session, booking, Transition.COMPLETE, actor.id)

        return await self._change(actor, booking_id, Transition.COMPLETE, work, expected)

    async def miss(self, actor: Actor, booking_id: str, expected: Expected) -> Seen:
        """Say that nobody let the cleaner in.

        Raises:
            TooEarly: before the visit's time.
        """

        def work(session: Session, booking: Booking) -> None:
            policy.require_begun(booking, now(), "Before the visit's time nobody can have missed it.")
            assignment.vacate(session, booking)
            follow(session, booking, Transition.MISS, actor.id)

        return await self._change(actor, booking_id, Transition.MISS, work, expected)

    async def cancel(self, actor: Actor, booking_id: str, reason: str, expected: Expected) -> Seen:
        """Call the visit off; a client who does so late pays a fee, the office does not."""

        def work(session: Session, booking: Booking) -> None:
            fee = 0 if actor.in_office else policy.cancellation_fee(self._settings, booking, now())
            assignment.vacate(session, booking)
            booking.cancellation_fee = fee
            follow(session, booking, Transition.CANCEL, actor.id, fee=fee, reason=reason)
            self._messages.cancelled(session, booking, reason)

        return await self._change(actor, booking_id, Transition.CANCEL, work, expected)

    def find(self, session: Session, booking_id: str) -> Booking | None:
        """The booking, to read; None: there is none."""
        return session.get(Booking, booking_id)

    def has_reference(self, session: Session, reference: str) -> bool:
        """Whether there is a booking with this reference."""
        return session.exec(select(Booking.id).where(Booking.reference == reference)).first() is not None

    def listing(self, session: Session, filters: Filters, paging: Paging) -> Page[schemas.Booking]:
        """Bookings of anybody, the latest visits first.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        bookings, cursor = queries.page(session, filters, paging)
        return Page[schemas.Booking](items=self._answers.many(session, bookings), next_cursor=cursor)

    def day(self, session: Session, cleaner_ids: Collection[str], interval: Interval) -> list[schemas.Booking]:
        """The visits of these cleaners that touch the interval and were not cancelled, by cleaner and time."""
        return self._answers.many(session, queries.day(session, cleaner_ids, interval))

    def figures(self, session: Session, start: datetime, end: datetime) -> Figures:
        """The period from `start` until before `end` in numbers."""
        return queries.figures(session, start, end)

    async def _change(
        self,
        actor: Actor,
        booking_id: str,
        transition: Transition,
        work: Change,
        expected: Expected,
    ) -> Seen:
        """Lock the booking, check that the actor may do this to it now, do it."""

        def unit(session: Session) -> Seen:
            booking = _visible(session, actor, booking_id, lock=True)
            expected.check(booking)
            require(transition, actor, booking.state)
            work(session, booking)
            session.flush()
            return self._answers.one(session, booking), booking.version

        return await self._database.write(unit)

    def _is_in_time(self, session: Session, booking: Booking) -> bool:
        """Whether the booking waits for a cleaner who has time for it, ways included."""
        if booking.cleaner_id is None or booking.state != BookingState.ASSIGNED or booking.ends_at <= now():
            return False
        visit = assignment.visit_of(booking)
        return assignment.is_free(session, self._settings, booking, booking.cleaner_id, visit)

    def _replace(self, session: Session, booking: Booking) -> None:
        """Send somebody else.

        Raises:
            SlotUnavailable: nobody else is free.
        """
        before = booking.cleaner_id
        chosen = assignment.least_loaded(session, self._settings, booking, assignment.visit_of(booking))
        assignment.vacate(session, booking)
        booking.cleaner_id = chosen
        assignment.occupy(session, booking)
        follow(session, booking, Transition.ASSIGN, None, before=before, cleaner_id=chosen)
        self._messages.assigned(session, booking, before=before)

    def _move(self, session: Session, actor: Actor, booking: Booking, starts_at: datetime) -> None:
        settings, before, old = self._settings, booking.cleaner_id, assignment.visit_of(booking)
        visit = Interval(starts_at, starts_at + (old.end - old.start))
        assignment.vacate(session, booking)
        if before is not None and not assignment.is_free(session, settings, booking, before, visit):
            booking.cleaner_id = assignment.least_loaded(session, settings, booking, visit)
        booking.starts_at, booking.ends_at = visit.start, visit.end
        assignment.occupy(session, booking)
        follow(
            session,
            booking,
            Transition.RESCHEDULE,
            actor.id,
            before=old.start.isoformat(),
            starts_at=visit.start.isoformat(),
            cleaner_id=booking.cleaner_id,
        )
        self._messages.rescheduled(session, booking, before=before, starts_at=old.start)


def own(actor: Actor, filters: Filters) -> Filters:
    """The filters, narrowed to the actor's own bookings."""
    if actor.role is Role.CLEANER:
        return replace(filters, cleaner_id=actor.id)
    return replace(filters, client_ids=[actor.id])


def _visible(session: Session, actor: Actor, booking_id: str, *, lock: bool = False) -> Booking:
    """The booking if the actor may see it; locked until the end of the transaction where the database can.

    Raises:
        NotFound: otherwise.
    """
    booking = session.get(Booking, booking_id, with_for_update=lock or None)
    if booking is None or not (actor.in_office or actor.id == _person(booking, actor.role)):
        raise NotFound
    return booking


def _person(booking: Booking, role: Role) -> str | None:
    return booking.cleaner_id if role is Role.CLEANER else booking.client_id
