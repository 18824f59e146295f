"""Errors of the accounts."""

from http import HTTPStatus

from app.kit.problems import Problem


class EmailTaken(Problem):
    """Somebody has registered with this address already."""

    status = HTTPStatus.CONFLICT
    slug = "email-taken"
    title = "This e-mail address is already registered"
    explanation = "Log in, or register with another address."


class InvalidCredentials(Problem):
    """Unknown address, wrong password or inactive account: which of them is nobody's business."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "invalid-credentials"
    title = "Wrong e-mail address or password"
    explanation = "Check both and try again."
    extra_headers = (("WWW-Authenticate", "Bearer"),)
