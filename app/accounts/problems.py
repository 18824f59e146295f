"""Errors of the accounts."""

from http import HTTPStatus

from app.kit.problems import Problem


class EmailTaken(Problem):
    """Another account has this e-mail address."""

    status = HTTPStatus.CONFLICT
    slug = "email-taken"
    title = "This e-mail address is already registered"
    explanation = "Log in, or register with another address."


class InvalidCredentials(Problem):
    """The address is unknown, the password is wrong, or the account is inactive. The client must not learn which."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "invalid-credentials"
    title = "Wrong e-mail address or password"
    explanation = "Check the e-mail address and the password, then try again."
    extra_headers = (("WWW-Authenticate", "Bearer"),)


class EmailNotVerified(Problem):
    """The password is right, but the e-mail address is not verified yet."""

    status = HTTPStatus.FORBIDDEN
    slug = "email-not-verified"
    title = "The e-mail address is not verified"
    explanation = "Confirm the address with the code from the e-mail, or request a new code."


class InvalidRefreshToken(Problem):
    """The refresh token is unknown, expired, revoked, or was used too long ago to be repeated."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "invalid-refresh-token"
    title = "The refresh token is not valid"
    explanation = "Log in again. A second use of a refresh token after more than 30 seconds ends its session."
    extra_headers = (("WWW-Authenticate", "Bearer"),)


class InvalidCode(Problem):
    """The one-time code is unknown, expired or used."""

    status = HTTPStatus.NOT_FOUND
    slug = "invalid-code"
    title = "The code is not valid"
    explanation = "The code is wrong, expired or already used. Request a new code."


class WrongPassword(Problem):
    """The request confirms an action with the user's own password, and the password is wrong."""

    status = HTTPStatus.FORBIDDEN
    slug = "wrong-password"
    title = "The current password is wrong"
    explanation = "Send the password that you log in with."


class MailDisabled(Problem):
    """The operator has not configured e-mail."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "mail-off"
    title = "This service sends no e-mail"
    explanation = "E-mail is not configured. Ask the office for help."


class LastAdmin(Problem):
    """The change would leave the company without an active administrator."""

    status = HTTPStatus.CONFLICT
    slug = "last-admin"
    title = "The company needs an administrator"
    explanation = (
        "Administrators cannot demote or deactivate themselves, and the last administrator cannot erase the account."
    )


class AccountErased(Problem):
    """An erased account cannot be changed or activated."""

    status = HTTPStatus.CONFLICT
    slug = "account-erased"
    title = "The account has been erased"
    explanation = "Its owner has erased it. It cannot be changed."
