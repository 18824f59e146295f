"""What happened to a booking: its own history, and the audit log."""

from sqlmodel import Session

from app.bookings.models import Booking, BookingEvent
from app.bookings.states import RULES, Transition
from app.kit import audit

PERSONAL = "reason"
"""The detail that somebody wrote; it stays out of the audit log and goes with the client's account."""


def note(session: Session, booking: Booking, event: str, actor_id: str | None, **details: object) -> None:
    """Write down a change that has been made to the booking, and raise its version.

    Args:
        session: of the transaction that makes the change.
        booking: after the change.
        event: past tense, as in the state table.
        actor_id: None for the service itself.
        details: ids and figures that say what the change was, and PERSONAL.
    """
    booking.version += 1
    session.add(booking)
    session.flush()
    session.add(
        BookingEvent(booking_id=booking.id, actor_id=actor_id, kind=event, state=booking.state, details=details)
    )
    impersonal = {name: value for name, value in details.items() if name != PERSONAL}
    audit.record(session, f"booking.{event}", actor_id=actor_id, subject_id=booking.id, **impersonal)


def follow(session: Session, booking: Booking, transition: Transition, actor_id: str | None, **details: object) -> None:
    """Put the booking into the state that the transition leads to, and note it."""
    rule = RULES[transition]
    if rule.target is not None:
        booking.state = rule.target
    note(session, booking, rule.event, actor_id, **details)
