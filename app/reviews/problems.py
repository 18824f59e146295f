"""Errors of the reviews."""

from http import HTTPStatus

from app.kit.problems import Problem


class BookingNotCompleted(Problem):
    """The booking is not in the state `completed`."""

    status = HTTPStatus.CONFLICT
    slug = "booking-not-completed"
    title = "The booking is not completed"
    explanation = "Only a completed booking can be reviewed."


class AlreadyReviewed(Problem):
    """The booking already has a review."""

    status = HTTPStatus.CONFLICT
    slug = "already-reviewed"
    title = "The booking already has a review"
    explanation = "A booking can be reviewed only once."
