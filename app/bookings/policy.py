"""The company's rules on booking times and cancellation fees, as pure functions."""

from datetime import datetime, timedelta

from app.bookings.models import BookingRecord
from app.bookings.problems import TooEarly, TooLate, TooSoon
from app.settings import Settings

EARLY_START = timedelta(hours=2)
"""How long before its start time a visit can be started."""


def require_bookable(settings: Settings, starts_at: datetime, at: datetime, *, in_office: bool) -> None:
    """Check that a visit can be booked at this time.

    Args:
        settings: BOOKING_NOTICE_HOURS and BOOKING_HORIZON_DAYS.
        starts_at: the intended start time.
        at: the current time.
        in_office: whether the actor belongs to the office, which needs no notice but cannot book in the past.

    Raises:
        TooSoon: the start time is within the notice period or in the past.
        TooLate: the start time is beyond the horizon.
    """
    hours = 0 if in_office else settings.booking_notice_hours
    if starts_at < at + timedelta(hours=hours):
        raise TooSoon(
            f"A visit must be booked or rescheduled at least {hours} hours ahead."
            if hours
            else "The start time is in the past."
        )
    if starts_at > at + timedelta(days=settings.booking_horizon_days):
        raise TooLate(f"Visits can be booked at most {settings.booking_horizon_days} days ahead.")


def require_reschedulable(settings: Settings, booking: BookingRecord, at: datetime) -> None:
    """Check that a client can still reschedule the visit.

    Raises:
        TooSoon: the visit starts within the notice period, or within the period in which cancelling costs a fee:
            rescheduling would otherwise avoid the fee.
    """
    hours = settings.booking_notice_hours
    if settings.cancellation_fee_percent:
        hours = max(hours, settings.cancellation_free_hours)
    if booking.starts_at < at + timedelta(hours=hours):
        raise TooSoon(f"A visit that starts in less than {hours} hours can no longer be rescheduled.")


def free_cancellation_until(settings: Settings, starts_at: datetime) -> datetime:
    """The last moment at which the client can cancel the visit without a fee."""
    return starts_at - timedelta(hours=settings.cancellation_free_hours)


def cancellation_fee(settings: Settings, booking: BookingRecord, at: datetime) -> int:
    """The fee for cancelling at the time `at`, in minor units, half a unit rounded up."""
    if at <= free_cancellation_until(settings, booking.starts_at):
        return 0
    return (booking.price * settings.cancellation_fee_percent + 50) // 100


def require_startable(booking: BookingRecord, at: datetime) -> None:
    """Check that the visit can be started.

    Raises:
        TooEarly: its start time is more than EARLY_START away.
    """
    if at < booking.starts_at - EARLY_START:
        raise TooEarly("A visit can be started from two hours before its start time.")


def require_start_time_reached(booking: BookingRecord, at: datetime, detail: str) -> None:
    """Check that the visit's start time has been reached.

    Args:
        booking: the booking.
        at: the current time.
        detail: the detail of the problem.

    Raises:
        TooEarly: the start time has not been reached.
    """
    if at < booking.starts_at:
        raise TooEarly(detail)
