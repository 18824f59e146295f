"""Errors of the staff."""

from http import HTTPStatus

from app.kit.problems import Problem


class DuplicateDayOff(Problem):
    """The cleaner already has exactly these days off."""

    status = HTTPStatus.CONFLICT
    slug = "duplicate-day-off"
    title = "These days off already exist"
    explanation = "The cleaner already has the same days off. `existing_id` is their id."
    example_members = (("existing_id", "0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"),)
