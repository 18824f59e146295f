"""Errors of the catalogue."""

from http import HTTPStatus

from app.kit.problems import Problem


class VisitTooLong(Problem):
    """The quote's duration exceeds the longest possible visit."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "visit-too-long"
    title = "The visit would take too long"
    explanation = "A visit lasts at most 12 hours. Split the work into several visits."


class CatalogueFull(Problem):
    """A limit on the size of the catalogue has been reached."""

    status = HTTPStatus.CONFLICT
    slug = "catalogue-full"
    title = "The catalogue is full"
    explanation = (
        "At most 500 services can be active, and a service can have at most 100 extras, including inactive ones."
    )
