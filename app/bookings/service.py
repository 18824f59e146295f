"""Creates, reads and changes bookings. Every change is one transaction on one locked row."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings import assignment, policy, queries, schemas
from app.bookings.absences import AbsenceHandler
from app.bookings.creation import BookingCreator
from app.bookings.duplicates import refuse_duplicate
from app.bookings.history import apply_transition, record_event
from app.bookings.models import BookingEvent, BookingRecord, BookingState
from app.bookings.notifier import BookingNotifier
from app.bookings.personal_data import PersonalData
from app.bookings.presenter import BookingPresenter
from app.bookings.queries import BookingFilters, PeriodTotals
from app.bookings.states import OPEN_STATES, RULES, Transition, require_allowed
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

VersionedBooking = tuple[schemas.Booking, int]
"""A booking and its version, which is its ETag."""
ChangeFunction = Callable[[Session, BookingRecord], None]


class Bookings:
    """The operations on bookings.

    Methods that take an actor check whether the actor may access the booking; the caller has already checked the role.
    Methods that change a booking raise, besides the errors they document, NotFound, WrongState and PreconditionFailed
    (the booking has changed since the actor read it).
    """

    def __init__(  # noqa: PLR0913  # the features it depends on
        self,
        settings: Settings,
        database: Database,
        *,
        accounts: Accounts,
        catalog: Catalog,
        staff: Staff,
        notifications: Notifications,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._database = database
        self._notifier = BookingNotifier(settings, accounts, notifications)
        self._presenter = BookingPresenter(settings, accounts, staff)
        self._creator = BookingCreator(settings, accounts, catalog, self._notifier)
        self.personal_data = PersonalData(settings, self._presenter, self._notifier)
        staff.on_absence(AbsenceHandler(settings, accounts, self._notifier).reassign_visits)
        accounts.on_erase(self.personal_data.erase)
        accounts.on_export("bookings", self.personal_data.export)

    async def create(self, actor: Actor, order: schemas.NewBooking, attempt: Attempt) -> schemas.Booking:
        """Book a visit, once for each idempotency key. The version of the new booking is 1.

        Raises:
            ValidationFailed: the service, an extra or the client is unknown or missing.
            VisitTooLong: the visit would exceed the maximum duration.
            TooSoon: the start time is within the notice period.
            TooLate: the start time is beyond the horizon.
            DuplicateBooking: the client has a duplicate booking, and the order does not allow duplicates.
            SlotUnavailable: no cleaner is free.
            IdempotencyKeyReused: the attempt repeats another request's key.
        """

        def work(session: Session) -> schemas.Booking:
            return attempt.once(
                session,
                actor.id,
                schemas.Booking,
                lambda: self._presenter.present(session, self._creator.create(session, actor, order)),
                about_id=order.client_id,
            )

        return await self._database.write(work)

    def list_own(
        self, session: Session, actor: Actor, filters: BookingFilters, paging: Paging
    ) -> Page[schemas.Booking]:
        """The actor's own bookings: those of a client, or those assigned to a cleaner.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """
        return self.listing(session, _restrict_to_own(actor, filters), paging)

    async def read(self, actor: Actor, booking_id: str) -> VersionedBooking:
        """Return one booking.

        Raises:
            NotFound: the booking does not exist, or the actor may not read it.
        """

        def work(session: Session) -> VersionedBooking:
            booking = _accessible_booking(session, actor, booking_id)
            return self._presenter.present(session, booking), booking.version

        return await self._database.read(work)

    async def history(self, actor: Actor, booking_id: str, paging: Paging) -> Page[schemas.HistoryEntry]:
        """The booking's history, oldest first.

        Raises:
            NotFound: the booking does not exist, or the actor may not read it.
            ValidationFailed: the cursor does not belong to this list.
        """

        def work(session: Session) -> Page[schemas.HistoryEntry]:
            _accessible_booking(session, actor, booking_id)
            query = select(BookingEvent).where(BookingEvent.booking_id == booking_id)
            columns = cast("list[ColumnElement[object]]", [col(BookingEvent.id)])
            events, cursor = paging.page(session, query, columns, lambda event: (event.id or 0,))
            return Page(items=self._presenter.present_history(session, events), next_cursor=cursor)

        return await self._database.read(work)

    async def change(
        self, actor: Actor, booking_id: str, request: schemas.BookingChange, expected: Expected
    ) -> VersionedBooking:
        """Change address or notes; replace the cleaner if they cannot reach the new address in time.

        Raises:
            DuplicateBooking: the client has a duplicate booking, and the request does not allow duplicates.
            SlotUnavailable: no cleaner can reach the new address in time.
        """

        def work(session: Session, booking: BookingRecord) -> None:
            fields = request.model_dump(exclude_unset=True, exclude={"allow_duplicate"})
            changed = sorted(name for name, value in fields.items() if getattr(booking, name) != value)
            moved = "address" in changed and place_of(fields["address"]) != place_of(booking.address)
            if moved and booking.state in OPEN_STATES and not request.allow_duplicate:
                refuse_duplicate(
                    session, self._accounts, booking, starts_at=booking.starts_at, address=fields["address"]
                )
            was_in_time = moved and self._arrives_in_time(session, booking)
            for name in changed:
                setattr(booking, name, fields[name])
            if changed:
                record_event(session, booking, RULES[Transition.CHANGE].event, actor.id, fields=changed)
            if was_in_time and not self._arrives_in_time(session, booking):
                self._replace_cleaner(session, booking)

        return await self._change(actor, booking_id, Transition.CHANGE, work, expected)

    async def reschedule(
        self, actor: Actor, booking_id: str, request: schemas.Rescheduling, expected: Expected
    ) -> VersionedBooking:
        """Move a visit to another time; keep its cleaner if free then, otherwise assign another one.

        Raises:
            TooSoon: the old or the new start time is within the notice period.
            TooLate: the new start time is beyond the horizon.
            DuplicateBooking: the client has a duplicate booking, and the request does not allow duplicates.
            SlotUnavailable: no cleaner is free at the new time.
        """

        def work(session: Session, booking: BookingRecord) -> None:
            at, starts_at = now(), request.starts_at
            if not actor.in_office:
                policy.require_reschedulable(self._settings, booking, at)
            policy.require_bookable(self._settings, starts_at, at, in_office=actor.in_office)
            if starts_at != booking.starts_at and not request.allow_duplicate:
                refuse_duplicate(session, self._accounts, booking, starts_at=starts_at, address=booking.address)
            self._reschedule(session, actor, booking, starts_at)

        return await self._change(actor, booking_id, Transition.RESCHEDULE, work, expected)

    async def confirm(self, actor: Actor, booking_id: str, expected: Expected) -> VersionedBooking:
        """Confirm a requested booking."""

        def work(session: Session, booking: BookingRecord) -> None:
            apply_transition(session, booking, Transition.CONFIRM, actor.id)
            self._notifier.notify_confirmed(session, booking)

        return await self._change(actor, booking_id, Transition.CONFIRM, work, expected)

    async def assign(
        self, actor: Actor, booking_id: str, cleaner_id: str | None, expected: Expected
    ) -> VersionedBooking:
        """Assign the given cleaner, or the least loaded one if None. A requested booking is confirmed first.

        Raises:
            ValidationFailed: the cleaner does not exist.
            SlotUnavailable: the given cleaner is not free, or no cleaner is.
        """

        def work(session: Session, booking: BookingRecord) -> None:
            settings, previous, visit = self._settings, booking.cleaner_id, assignment.visit_interval(booking)
            if cleaner_id is not None:
                assignment.require_free(session, settings, booking, cleaner_id)
            chosen = cleaner_id or assignment.least_loaded_cleaner(session, settings, booking, visit)
            if booking.state == BookingState.REQUESTED:
                apply_transition(session, booking, Transition.CONFIRM, actor.id)
            assignment.release_slots(session, booking)
            booking.cleaner_id = chosen
            assignment.reserve_slots(session, booking)
            apply_transition(session, booking, Transition.ASSIGN, actor.id, cleaner_id=chosen)
            self._notifier.notify_assigned(session, booking, previous_cleaner_id=previous)

        return await self._change(actor, booking_id, Transition.ASSIGN, work, expected)

    async def start(self, actor: Actor, booking_id: str, expected: Expected) -> VersionedBooking:
        """Record that the visit has started.

        Raises:
            TooEarly: the visit's start time is more than two hours away.
        """

        def work(session: Session, booking: BookingRecord) -> None:
            policy.require_startable(booking, now())
            apply_transition(session, booking, Transition.START, actor.id)

        return await self._change(actor, booking_id, Transition.START, work, expected)

    async def complete(self, actor: Actor, booking_id: str, expected: Expected) -> VersionedBooking:
        """Record that the visit is completed, and release its slots.

        Raises:
            TooEarly: the visit's start time has not been reached.
        """

        def work(session: Session, booking: BookingRecord) -> None:
            policy.require_start_time_reached(
                booking, now(), "A visit can be completed only from its start time, even if it started early."
            )
            assignment.release_slots(session, booking)
            apply_transition(session, booking, Transition.COMPLETE, actor.id)

        return await self._change(actor, booking_id, Transition.COMPLETE, work, expected)

    async def mark_no_show(self, actor: Actor, booking_id: str, expected: Expected) -> VersionedBooking:
        """Record that the client did not let the cleaner in, and release the visit's slots.

        Raises:
            TooEarly: the visit's start time has not been reached.
        """

        def work(session: Session, booking: BookingRecord) -> None:
            policy.require_start_time_reached(booking, now(), "A no-show can be reported only from the start time.")
            assignment.release_slots(session, booking)
            apply_transition(session, booking, Transition.MARK_NO_SHOW, actor.id)

        return await self._change(actor, booking_id, Transition.MARK_NO_SHOW, work, expected)

    async def cancel(self, actor: Actor, booking_id: str, reason: str, expected: Expected) -> VersionedBooking:
        """Cancel the visit; a client pays a fee if late, the office never does."""

        def work(session: Session, booking: BookingRecord) -> None:
            fee = 0 if actor.in_office else policy.cancellation_fee(self._settings, booking, now())
            assignment.release_slots(session, booking)
            booking.cancellation_fee = fee
            apply_transition(session, booking, Transition.CANCEL, actor.id, fee=fee, reason=reason)
            self._notifier.notify_cancelled(session, booking, reason)

        return await self._change(actor, booking_id, Transition.CANCEL, work, expected)

    def find(self, session: Session, booking_id: str) -> BookingRecord | None:
        """The booking, for reading only; None if it does not exist."""
        return session.get(BookingRecord, booking_id)

    def has_reference(self, session: Session, reference: str) -> bool:
        """Whether a booking has this reference."""
        return session.exec(select(BookingRecord.id).where(BookingRecord.reference == reference)).first() is not None

    def listing(self, session: Session, filters: BookingFilters, paging: Paging) -> Page[schemas.Booking]:
        """Bookings of all clients, latest visits first.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """
        bookings, cursor = queries.page(session, filters, paging)
        return Page[schemas.Booking](items=self._presenter.present_all(session, bookings), next_cursor=cursor)

    def visits_in(self, session: Session, cleaner_ids: Collection[str], interval: Interval) -> list[schemas.Booking]:
        """The visits of the cleaners that overlap the interval and are not cancelled, by cleaner and start time."""
        return self._presenter.present_all(session, queries.visits_in(session, cleaner_ids, interval))

    def period_totals(self, session: Session, start: datetime, end: datetime) -> PeriodTotals:
        """The key figures of the period from `start` (included) to `end` (excluded)."""
        return queries.period_totals(session, start, end)

    async def _change(
        self,
        actor: Actor,
        booking_id: str,
        transition: Transition,
        work: ChangeFunction,
        expected: Expected,
    ) -> VersionedBooking:
        """In one transaction, lock the booking, check access, version and state, and run `work`."""

        def transaction(session: Session) -> VersionedBooking:
            booking = _accessible_booking(session, actor, booking_id, lock=True)
            expected.check(booking)
            require_allowed(transition, actor, booking.state)
            work(session, booking)
            session.flush()
            return self._presenter.present(session, booking), booking.version

        return await self._database.write(transaction)

    def _arrives_in_time(self, session: Session, booking: BookingRecord) -> bool:
        """Whether the booking has an upcoming visit whose cleaner is free for it, travel time included."""
        if booking.cleaner_id is None or booking.state != BookingState.ASSIGNED or booking.ends_at <= now():
            return False
        visit = assignment.visit_interval(booking)
        return assignment.is_free(session, self._settings, booking, booking.cleaner_id, visit)

    def _replace_cleaner(self, session: Session, booking: BookingRecord) -> None:
        """Assign another cleaner.

        Raises:
            SlotUnavailable: no other cleaner is free.
        """
        previous = booking.cleaner_id
        chosen = assignment.least_loaded_cleaner(session, self._settings, booking, assignment.visit_interval(booking))
        assignment.release_slots(session, booking)
        booking.cleaner_id = chosen
        assignment.reserve_slots(session, booking)
        apply_transition(session, booking, Transition.ASSIGN, None, before=previous, cleaner_id=chosen)
        self._notifier.notify_assigned(session, booking, previous_cleaner_id=previous)

    def _reschedule(self, session: Session, actor: Actor, booking: BookingRecord, starts_at: datetime) -> None:
        settings, previous, old = self._settings, booking.cleaner_id, assignment.visit_interval(booking)
        visit = Interval(starts_at, starts_at + (old.end - old.start))
        assignment.release_slots(session, booking)
        if previous is not None and not assignment.is_free(session, settings, booking, previous, visit):
            booking.cleaner_id = assignment.least_loaded_cleaner(session, settings, booking, visit)
        booking.starts_at, booking.ends_at = visit.start, visit.end
        assignment.reserve_slots(session, booking)
        apply_transition(
            session,
            booking,
            Transition.RESCHEDULE,
            actor.id,
            before=old.start.isoformat(),
            starts_at=visit.start.isoformat(),
            cleaner_id=booking.cleaner_id,
        )
        self._notifier.notify_rescheduled(session, booking, previous_cleaner_id=previous, previous_starts_at=old.start)


def _restrict_to_own(actor: Actor, filters: BookingFilters) -> BookingFilters:
    """The filters, restricted to the actor's own bookings."""
    if actor.role is Role.CLEANER:
        return replace(filters, cleaner_id=actor.id)
    return replace(filters, client_ids=[actor.id])


def _accessible_booking(session: Session, actor: Actor, booking_id: str, *, lock: bool = False) -> BookingRecord:
    """The booking; with `lock` it stays locked until the transaction ends, if the database has row locks.

    Raises:
        NotFound: the booking does not exist, or the actor may not access it.
    """
    booking = session.get(BookingRecord, booking_id, with_for_update=lock or None)
    if booking is None or not (actor.in_office or actor.id == _participant_id(booking, actor.role)):
        raise NotFound
    return booking


def _participant_id(booking: BookingRecord, role: Role) -> str | None:
    return booking.cleaner_id if role is Role.CLEANER else booking.client_id
