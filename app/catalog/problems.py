"""Errors of the catalogue."""

from http import HTTPStatus

from app.kit.problems import Problem


class VisitTooLong(Problem):
    """More than one visit can hold."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "visit-too-long"
    title = "This takes longer than a visit may last"
    explanation = "A visit lasts 12 hours at most. Split it into several."


class CatalogueFull(Problem):
    """There is no room for more."""

    status = HTTPStatus.CONFLICT
    slug = "catalogue-full"
    title = "The catalogue is full"
    explanation = "At most 500 services may be active, and a service may have 100 extras. Take others out first."
