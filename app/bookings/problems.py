"""Errors of the bookings."""

from http import HTTPStatus

from app.kit.problems import Problem


class SlotUnavailable(Problem):
    """No cleaner, or not this one, is free at that time."""

    status = HTTPStatus.CONFLICT
    slug = "slot-unavailable"
    title = "Nobody is free at that time"
    explanation = "Choose another time; the availability shows what is free."


class WrongState(Problem):
    """The booking's state does not allow it."""

    status = HTTPStatus.CONFLICT
    slug = "wrong-state"
    title = "The booking's state does not allow this"
    explanation = "Read the booking again to see its state."


class TooSoon(Problem):
    """Less notice than BOOKING_NOTICE_HOURS."""

    status = HTTPStatus.CONFLICT
    slug = "too-soon"
    title = "That is too soon"
    explanation = "Visits are booked and moved some hours ahead."


class TooLate(Problem):
    """Further ahead than BOOKING_HORIZON_DAYS."""

    status = HTTPStatus.CONFLICT
    slug = "too-late"
    title = "That is too far ahead"
    explanation = "Visits that far ahead cannot be booked yet."


class TooEarly(Problem):
    """The visit's time has not come."""

    status = HTTPStatus.CONFLICT
    slug = "too-early"
    title = "It is too early for this"
    explanation = "The time of the visit has not come yet."
