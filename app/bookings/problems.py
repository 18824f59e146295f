"""Errors of the bookings."""

from http import HTTPStatus

from app.kit.problems import Problem


class SlotUnavailable(Problem):
    """No cleaner is free at that time, or the requested cleaner is not."""

    status = HTTPStatus.CONFLICT
    slug = "slot-unavailable"
    title = "No cleaner is free at that time"
    explanation = "Choose another time. `GET /api/v1/availability` lists the free times."


class WrongState(Problem):
    """The booking's state does not allow the operation."""

    status = HTTPStatus.CONFLICT
    slug = "wrong-state"
    title = "The booking's state does not allow this operation"
    explanation = "Read the booking again to get its current state."


class TooSoon(Problem):
    """The visit would start within BOOKING_NOTICE_HOURS, or in the past."""

    status = HTTPStatus.CONFLICT
    slug = "too-soon"
    title = "The start time is too soon"
    explanation = "Visits must be booked and rescheduled some hours ahead."


class TooLate(Problem):
    """The visit would start more than BOOKING_HORIZON_DAYS ahead."""

    status = HTTPStatus.CONFLICT
    slug = "too-late"
    title = "The start time is too far ahead"
    explanation = "Visits cannot be booked that far ahead yet."


class TooEarly(Problem):
    """The visit's start time has not been reached."""

    status = HTTPStatus.CONFLICT
    slug = "too-early"
    title = "It is too early for this operation"
    explanation = "The start time of the visit has not been reached yet."


class DuplicateBooking(Problem):
    """The client already has a booking of the same service at the same time and address."""

    status = HTTPStatus.CONFLICT
    slug = "duplicate-booking"
    title = "This visit is already booked"
    explanation = (
        "The client already has a booking of the same service at the same time and address; `reference` names it. "
        "Send `allow_duplicate: true` to book it a second time."
    )
    example_members = (("existing_id", "0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"), ("reference", "K7M2QX9A"))
