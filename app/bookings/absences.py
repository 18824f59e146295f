"""Reassignment of visits when their cleaner becomes unavailable: days off, changed hours or role, a closed account."""

from datetime import timedelta

from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings import assignment
from app.bookings.history import apply_transition, record_event
from app.bookings.models import BookingRecord, BookingState
from app.bookings.notifier import BookingNotifier
from app.bookings.problems import SlotUnavailable
from app.bookings.states import Transition
from app.catalog.schemas import MAXIMUM_MINUTES
from app.kit.affected import AffectedVisit, NewCleaner
from app.kit.models import now
from app.settings import Settings
from app.staff import calendar

LONGEST_VISIT = timedelta(minutes=MAXIMUM_MINUTES)


class AbsenceHandler:
    """Reassigns visits after an absence; called by the staff feature."""

    def __init__(self, settings: Settings, accounts: Accounts, notifier: BookingNotifier) -> None:
        self._settings = settings
        self._accounts = accounts
        self._notifier = notifier

    def reassign_visits(self, session: Session, cleaner_id: str) -> list[AffectedVisit]:
        """Take upcoming visits outside the cleaner's working hours from the cleaner, and assign others if automatic.

        Visits that have started keep their cleaner. A booking for which no other cleaner is assigned returns to the
        state `confirmed`. The office gets one message about all of them.

        Returns:
            The visits that were taken from the cleaner, by start time.
        """
        lost = self._visits_outside_hours(session, cleaner_id)
        affected = [self._reassign(session, booking) for booking in lost]
        uncovered = [booking for booking in lost if booking.cleaner_id is None]
        if uncovered:
            self._notifier.notify_uncovered(session, uncovered, cleaner_id)
        return affected

    def _upcoming_visits(self, session: Session, cleaner_id: str) -> list[BookingRecord]:
        """The cleaner's visits that have neither started nor ended, by start time."""
        at = now()
        query = (
            select(BookingRecord)
            .where(BookingRecord.cleaner_id == cleaner_id, col(BookingRecord.starts_at) > at - LONGEST_VISIT)
            .order_by(col(BookingRecord.starts_at), col(BookingRecord.id))
        )
        visits = session.exec(query.with_for_update())
        return [each for each in visits if each.state == BookingState.ASSIGNED and each.ends_at > at]

    def _visits_outside_hours(self, session: Session, cleaner_id: str) -> list[BookingRecord]:
        """The upcoming visits outside the cleaner's current working hours."""
        upcoming, zone = self._upcoming_visits(session, cleaner_id), self._settings.zone
        if not upcoming:
            return []
        first, last = (each.starts_at.astimezone(zone).date() for each in (upcoming[0], upcoming[-1]))
        days = [first + number * calendar.DAY for number in range((last - first).days + 1)]
        found = calendar.load_calendars(session, days, zone, cleaner_id=cleaner_id)
        return [each for each in upcoming if not (found and found[0].works_at(assignment.visit_interval(each)))]

    def _reassign(self, session: Session, booking: BookingRecord) -> AffectedVisit:
        previous, chosen = booking.cleaner_id, self._choose_replacement(session, booking)
        assignment.release_slots(session, booking)
        booking.cleaner_id = chosen
        if chosen is None:
            booking.state = BookingState.CONFIRMED
            record_event(session, booking, "unassigned", None, before=previous)
            self._notifier.notify_unassigned(session, booking, previous_cleaner_id=previous)
        else:
            assignment.reserve_slots(session, booking)
            apply_transition(session, booking, Transition.ASSIGN, None, before=previous, cleaner_id=chosen)
            self._notifier.notify_assigned(session, booking, previous_cleaner_id=previous)
        person = self._accounts.person(session, chosen) if chosen else None
        return AffectedVisit(
            id=booking.id,
            reference=booking.reference,
            starts_at=booking.starts_at,
            reassigned=person is not None,
            cleaner=person and NewCleaner(id=person.id, full_name=person.full_name),
        )

    def _choose_replacement(self, session: Session, booking: BookingRecord) -> str | None:
        """Another free cleaner; None if no cleaner is free or the office assigns cleaners itself."""
        if self._settings.booking_assignment != "automatic":
            return None
        try:
            return assignment.least_loaded_cleaner(session, self._settings, booking, assignment.visit_interval(booking))
        except SlotUnavailable:
            return None
