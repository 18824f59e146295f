"""Errors of the health routes."""

from http import HTTPStatus

from app.kit.problems import Problem


class NotReady(Problem):
    """This replica must not receive traffic now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "not-ready"
    title = "Not ready"
    explanation = "This replica cannot serve requests at the moment."
    retry_after = 5


class InvalidCanaryToken(Problem):
    """The request for the canary has no valid token."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-the-monitor"
    title = "The canary token is missing or wrong"
    explanation = "Only the monitor may run the canary."
    extra_headers = (("WWW-Authenticate", "Bearer"),)
