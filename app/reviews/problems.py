"""Errors of the reviews."""

from http import HTTPStatus

from app.kit.problems import Problem


class BookingNotCompleted(Problem):
    """There is nothing to review yet, or there never will be."""

    status = HTTPStatus.CONFLICT
    slug = "booking-not-completed"
    title = "The booking is not completed"
    explanation = "Only a completed booking can be reviewed."


class AlreadyReviewed(Problem):
    """Each booking is reviewed once."""

    status = HTTPStatus.CONFLICT
    slug = "already-reviewed"
    title = "The booking has a review already"
    explanation = "A booking can be reviewed once."
