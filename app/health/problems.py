"""Errors of the health routes."""

from http import HTTPStatus

from app.kit.problems import Problem


class NotReady(Problem):
    """This replica must get no traffic now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "not-ready"
    title = "Not ready"
    explanation = "This replica cannot work at the moment."
    retry_after = 5


class NotTheMonitor(Problem):
    """The canary was asked for without its token."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-the-monitor"
    title = "The canary token is missing or wrong"
    explanation = "Only the monitor may ask for this."
    extra_headers = (("WWW-Authenticate", "Bearer"),)
