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


class DuplicateBooking(Problem):
    """The client has booked the same service at the same time and address already."""

    status = HTTPStatus.CONFLICT
    slug = "duplicate-booking"
    title = "This visit is booked already"
    explanation = (
        "The same service is booked for the same client, time and address; `reference` names the booking. "
        "Send `allow_duplicate: true` if it is to take place twice."
    )
    example_members = (("existing_id", "0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"), ("reference", "K7M2QX9A"))
