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


class EmailNotVerified(Problem):
    """The password is right, but nobody has proved yet to read what is sent to the address."""

    status = HTTPStatus.FORBIDDEN
    slug = "email-not-verified"
    title = "The e-mail address is not verified"
    explanation = "Use the code that was sent to the address, or have it sent again."


class InvalidRefreshToken(Problem):
    """Unknown, expired, revoked, or used before and not just now."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "invalid-refresh-token"
    title = "The refresh token is not valid"
    explanation = "Log in again. A refresh token that is used again more than 30 seconds later ends its session."
    extra_headers = (("WWW-Authenticate", "Bearer"),)


class InvalidCode(Problem):
    """A one-time code is unknown, expired or used."""

    status = HTTPStatus.NOT_FOUND
    slug = "invalid-code"
    title = "There is no such code"
    explanation = "The code is wrong, expired or used already. Ask for a new one."


class WrongPassword(Problem):
    """The signed-in user's own password is needed, and this is not it."""

    status = HTTPStatus.FORBIDDEN
    slug = "wrong-password"
    title = "The current password is wrong"
    explanation = "Give the password that you log in with."


class MailOff(Problem):
    """The service is run without e-mail."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "mail-off"
    title = "This service sends no e-mail"
    explanation = "E-mail is not set up here. Ask the office for help."


class LastAdmin(Problem):
    """The company must not be left without somebody who can administer it."""

    status = HTTPStatus.CONFLICT
    slug = "last-admin"
    title = "An administrator is needed"
    explanation = "Administrators can neither demote nor deactivate themselves, and the last one cannot leave."


class AccountErased(Problem):
    """What was erased does not come back."""

    status = HTTPStatus.CONFLICT
    slug = "account-erased"
    title = "The account has been erased"
    explanation = "Its owner has erased it; nothing about it can be changed."
