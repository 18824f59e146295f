"""Erasure and export of the personal data in a client's bookings."""

from typing import Any

from sqlmodel import Session, col, select

from app.bookings import assignment, policy
from app.bookings.history import PERSONAL_DETAIL, apply_transition
from app.bookings.models import BookingEvent, BookingRecord
from app.bookings.notifier import BookingNotifier
from app.bookings.presenter import BookingPresenter
from app.bookings.states import OPEN_STATES, Transition
from app.kit.models import now
from app.settings import Settings


class PersonalData:
    """Erases and exports a client's bookings; called by the accounts feature."""

    def __init__(self, settings: Settings, presenter: BookingPresenter, notifier: BookingNotifier) -> None:
        self._settings = settings
        self._presenter = presenter
        self._notifier = notifier

    def erase(self, session: Session, account_id: str) -> list[str]:
        """Cancel the client's upcoming bookings on the usual terms, and blank addresses, notes and reasons.

        Returns:
            The ids of all the client's bookings.
        """
        bookings = self._client_bookings(session, account_id, lock=True)
        for booking in bookings:
            if booking.state in OPEN_STATES and booking.starts_at > now():
                self._cancel(session, booking)
            booking.address = booking.notes = ""
            booking.version += 1
        events = session.exec(
            select(BookingEvent)
            .join(BookingRecord, col(BookingRecord.id) == BookingEvent.booking_id)
            .where(BookingRecord.client_id == account_id)
        )
        for event in events:
            if event.details.get(PERSONAL_DETAIL):
                event.details = event.details | {PERSONAL_DETAIL: ""}
        session.flush()
        return [booking.id for booking in bookings]

    def export(self, session: Session, account_id: str) -> list[dict[str, Any]]:
        """The client's bookings as the API shows them to the client, by start time."""
        bookings = self._presenter.present_all(session, self._client_bookings(session, account_id))
        return [each.model_dump(mode="json") for each in bookings]

    def _cancel(self, session: Session, booking: BookingRecord) -> None:
        fee = policy.cancellation_fee(self._settings, booking, now())
        assignment.release_slots(session, booking)
        booking.cancellation_fee = fee
        apply_transition(session, booking, Transition.CANCEL, booking.client_id, fee=fee)
        self._notifier.notify_cancelled(session, booking, "", notify_client=False)

    def _client_bookings(self, session: Session, account_id: str, *, lock: bool = False) -> list[BookingRecord]:
        query = (
            select(BookingRecord)
            .where(BookingRecord.client_id == account_id)
            .order_by(col(BookingRecord.starts_at), col(BookingRecord.id))
        )
        return list(session.exec(query.with_for_update() if lock else query))
