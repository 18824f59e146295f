"""Visits whose cleaner cannot do them any more: days off, shorter hours, another role, an account that ends."""

from datetime import timedelta

from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings import assignment
from app.bookings.history import follow, note
from app.bookings.messages import Messages
from app.bookings.models import Booking, BookingState
from app.bookings.problems import SlotUnavailable
from app.bookings.states import Transition
from app.catalog.schemas import MAXIMUM_MINUTES
from app.kit.affected import AffectedVisit, NewCleaner
from app.kit.models import now
from app.settings import Settings
from app.staff import calendar

LONGEST = timedelta(minutes=MAXIMUM_MINUTES)


class Cover:
    """Listens to the staff."""

    def __init__(self, settings: Settings, accounts: Accounts, messages: Messages) -> None:
        self._settings = settings
        self._accounts = accounts
        self._messages = messages

    def restore(self, session: Session, cleaner_id: str) -> list[AffectedVisit]:
        """Take from a cleaner the visits that they cannot do any more, and send others where that is automatic.

        A visit that has been started stays: its cleaner is there. Where nobody else goes, the booking is confirmed and
        without a cleaner again, and the office is told of all such visits in one message.

        Returns:
            The visits that were taken from the cleaner, by time.
        """
        lost = self._lost(session, cleaner_id)
        affected = [self._replace(session, booking) for booking in lost]
        missing = [booking for booking in lost if booking.cleaner_id is None]
        if missing:
            self._messages.uncovered(session, missing, cleaner_id)
        return affected

    def _ahead(self, session: Session, cleaner_id: str) -> list[Booking]:
        """The cleaner's visits that are neither begun nor over, by time."""
        at = now()
        query = (
            select(Booking)
            .where(Booking.cleaner_id == cleaner_id, col(Booking.starts_at) > at - LONGEST)
            .order_by(col(Booking.starts_at), col(Booking.id))
        )
        visits = session.exec(query.with_for_update())
        return [each for each in visits if each.state == BookingState.ASSIGNED and each.ends_at > at]

    def _lost(self, session: Session, cleaner_id: str) -> list[Booking]:
        """Those of them that are outside of what the cleaner works now."""
        ahead, zone = self._ahead(session, cleaner_id), self._settings.zone
        if not ahead:
            return []
        first, last = (each.starts_at.astimezone(zone).date() for each in (ahead[0], ahead[-1]))
        days = [first + number * calendar.DAY for number in range((last - first).days + 1)]
        found = calendar.load_calendars(session, days, zone, cleaner_id=cleaner_id)
        return [each for each in ahead if not (found and found[0].works_at(assignment.visit_of(each)))]

    def _replace(self, session: Session, booking: Booking) -> AffectedVisit:
        before, chosen = booking.cleaner_id, self._somebody(session, booking)
        assignment.vacate(session, booking)
        booking.cleaner_id = chosen
        if chosen is None:
            booking.state = BookingState.CONFIRMED
            note(session, booking, "unassigned", None, before=before)
            self._messages.unassigned(session, booking, before=before)
        else:
            assignment.occupy(session, booking)
            follow(session, booking, Transition.ASSIGN, None, before=before, cleaner_id=chosen)
            self._messages.assigned(session, booking, before=before)
        person = self._accounts.person(session, chosen) if chosen else None
        return AffectedVisit(
            id=booking.id,
            reference=booking.reference,
            starts_at=booking.starts_at,
            reassigned=person is not None,
            cleaner=person and NewCleaner(id=person.id, full_name=person.full_name),
        )

    def _somebody(self, session: Session, booking: Booking) -> str | None:
        """Who is sent instead; None: nobody is free, or the office assigns."""
        if self._settings.booking_assignment != "automatic":
            return None
        try:
            return assignment.least_loaded(session, self._settings, booking, assignment.visit_of(booking))
        except SlotUnavailable:
            return None
