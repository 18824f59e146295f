"""The company's rules on time and money; plain functions of settings, a booking and the moment."""

from datetime import datetime, timedelta

from app.bookings.models import Booking
from app.bookings.problems import TooEarly, TooLate, TooSoon
from app.settings import Settings

EARLY_START = timedelta(hours=2)
"""A visit may begin that long before its time."""


def require_bookable(settings: Settings, starts_at: datetime, at: datetime, *, in_office: bool) -> None:
    """Check that a visit may be put at this time.

    Args:
        settings: notice and horizon.
        starts_at: when the visit is to begin.
        at: the current moment.
        in_office: the office needs no notice, but cannot book in the past either.

    Raises:
        TooSoon: less notice than needed.
        TooLate: beyond the horizon.
    """
    hours = 0 if in_office else settings.booking_notice_hours
    if starts_at < at + timedelta(hours=hours):
        raise TooSoon(f"A visit is booked or moved at least {hours} hours ahead." if hours else "That time is over.")
    if starts_at > at + timedelta(days=settings.booking_horizon_days):
        raise TooLate(f"Visits can be booked {settings.booking_horizon_days} days ahead.")


def require_movable(settings: Settings, booking: Booking, at: datetime) -> None:
    """Check that a client may still move the visit away from its time.

    Raises:
        TooSoon: it begins within the notice, or cancelling costs a fee by now, which moving it would get round.
    """
    hours = settings.booking_notice_hours
    if settings.cancellation_fee_percent:
        hours = max(hours, settings.cancellation_free_hours)
    if booking.starts_at < at + timedelta(hours=hours):
        raise TooSoon(f"A visit that begins in less than {hours} hours cannot be moved any more.")


def free_until(settings: Settings, starts_at: datetime) -> datetime:
    """The last moment at which the client cancels a visit without a fee."""
    return starts_at - timedelta(hours=settings.cancellation_free_hours)


def cancellation_fee(settings: Settings, booking: Booking, at: datetime) -> int:
    """What a client pays who cancels now: minor units, half a unit rounded up."""
    if at <= free_until(settings, booking.starts_at):
        return 0
    return (booking.price * settings.cancellation_fee_percent + 50) // 100


def require_startable(booking: Booking, at: datetime) -> None:
    """Check that the visit may begin.

    Raises:
        TooEarly: it is more than EARLY_START before its time.
    """
    if at < booking.starts_at - EARLY_START:
        raise TooEarly("A visit can be started from two hours before its time.")


def require_begun(booking: Booking, at: datetime, otherwise: str) -> None:
    """Check that the visit's time has come.

    Args:
        booking: the visit.
        at: the current moment.
        otherwise: what the caller is told.

    Raises:
        TooEarly: it has not.
    """
    if at < booking.starts_at:
        raise TooEarly(otherwise)
