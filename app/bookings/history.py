"""Records changes of bookings in the booking's history and in the audit log."""

from sqlmodel import Session

from app.bookings.models import BookingEvent, BookingRecord
from app.bookings.states import RULES, Transition
from app.kit import audit

PERSONAL_DETAIL = "reason"
"""The only detail with free text; it stays out of the audit log and is erased with the client's account."""


def record_event(session: Session, booking: BookingRecord, event: str, actor_id: str | None, **details: object) -> None:
    """Record a change of the booking, and increase its version.

    Args:
        session: the transaction that makes the change.
        booking: the booking after the change.
        event: the event name, as in the state table.
        actor_id: the account that made the change; None for the service itself.
        details: ids and numbers that describe the change, and PERSONAL_DETAIL.
    """
    booking.version += 1
    session.add(booking)
    session.flush()
    session.add(
        BookingEvent(booking_id=booking.id, actor_id=actor_id, kind=event, state=booking.state, details=details)
    )
    audited = {name: value for name, value in details.items() if name != PERSONAL_DETAIL}
    audit.record(session, f"booking.{event}", actor_id=actor_id, subject_id=booking.id, **audited)


def apply_transition(
    session: Session, booking: BookingRecord, transition: Transition, actor_id: str | None, **details: object
) -> None:
    """Set the target state of the transition, and record the event."""
    rule = RULES[transition]
    if rule.target is not None:
        booking.state = rule.target
    record_event(session, booking, rule.event, actor_id, **details)
