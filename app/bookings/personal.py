"""What happens to a client's bookings when the account is erased, and what its export shows."""

from typing import Any

from sqlmodel import Session, col, select

from app.bookings import assignment, policy
from app.bookings.answers import Answers
from app.bookings.history import PERSONAL, follow
from app.bookings.messages import Messages
from app.bookings.models import Booking, BookingEvent
from app.bookings.states import OPEN, Transition
from app.kit.models import now
from app.settings import Settings


class Personal:
    """Listens to the accounts."""

    def __init__(self, settings: Settings, answers: Answers, messages: Messages) -> None:
        self._settings = settings
        self._answers = answers
        self._messages = messages

    def erase(self, session: Session, account_id: str) -> list[str]:
        """Cancel what the client has ahead, on the usual terms, and blank what says who they are and where.

        Returns:
            The bookings' ids.
        """
        bookings = self._of(session, account_id, lock=True)
        for booking in bookings:
            if booking.state in OPEN and booking.starts_at > now():
                self._cancel(session, booking)
            booking.address = booking.notes = ""
            booking.version += 1
        events = session.exec(
            select(BookingEvent)
            .join(Booking, col(Booking.id) == BookingEvent.booking_id)
            .where(Booking.client_id == account_id)
        )
        for event in events:
            if event.details.get(PERSONAL):
                event.details = event.details | {PERSONAL: ""}
        session.flush()
        return [booking.id for booking in bookings]

    def export(self, session: Session, account_id: str) -> list[dict[str, Any]]:
        """The client's bookings as they see them themselves, by time."""
        answers = self._answers.many(session, self._of(session, account_id))
        return [each.model_dump(mode="json") for each in answers]

    def _cancel(self, session: Session, booking: Booking) -> None:
        fee = policy.cancellation_fee(self._settings, booking, now())
        assignment.vacate(session, booking)
        booking.cancellation_fee = fee
        follow(session, booking, Transition.CANCEL, booking.client_id, fee=fee)
        self._messages.cancelled(session, booking, "", tell_client=False)

    def _of(self, session: Session, account_id: str, *, lock: bool = False) -> list[Booking]:
        query = select(Booking).where(Booking.client_id == account_id).order_by(col(Booking.starts_at), col(Booking.id))
        return list(session.exec(query.with_for_update() if lock else query))
