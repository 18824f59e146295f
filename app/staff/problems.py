"""Errors of the staff."""

from http import HTTPStatus

from app.kit.problems import Problem


class DuplicateDayOff(Problem):
    """The cleaner has just these days off already."""

    status = HTTPStatus.CONFLICT
    slug = "duplicate-day-off"
    title = "These days off are there already"
    explanation = "The cleaner has the same days off already; `existing_id` names them."
    example_members = (("existing_id", "0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"),)
