"""Errors of the office."""

from http import HTTPStatus

from app.kit.problems import Problem


class NotDead(Problem):
    """Only dead letters are sent again."""

    status = HTTPStatus.CONFLICT
    slug = "not-dead"
    title = "This message has not failed"
    explanation = "Only a message in the state `dead` can be sent again; others are sent by themselves."
