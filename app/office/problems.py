"""Errors of the office."""

from http import HTTPStatus

from app.kit.problems import Problem


class NotDead(Problem):
    """The message is not a dead letter, so it cannot be sent again."""

    status = HTTPStatus.CONFLICT
    slug = "not-dead"
    title = "The message is not a dead letter"
    explanation = "Only a message in the state `dead` can be sent again. Pending messages are sent automatically."
