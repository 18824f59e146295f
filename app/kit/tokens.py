"""Access tokens: JWT signed with SECRET_KEY (HS256)."""

import time
import uuid
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import jwt

from app.kit.problems import Problem
from app.settings import Settings

ISSUER = "cleaning-service"
ALGORITHM = "HS256"
LEEWAY = 10  # seconds; clocks of two hosts may differ
KNOWN = 2000  # tokens whose signature is not checked again, about 1 MB


class InvalidToken(Problem):
    """There is no token, or it cannot be trusted (any more)."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "invalid-token"
    title = "Not signed in"
    explanation = "The access token is missing, wrong or expired. Log in again."
    extra_headers = (("WWW-Authenticate", "Bearer"),)


class Claims(NamedTuple):
    """What an access token says."""

    account_id: str
    session_id: str
    """The login that it was issued in."""
    expires_at: float
    """Unix time."""


class Tokens:
    """Issues and reads access tokens."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret_key.get_secret_value()
        self._verified = lru_cache(KNOWN)(self._verify)
        self.lifetime = settings.access_token_minutes * 60
        """Seconds."""

    def issue(self, subject: str, session: str, *, at: float | None = None, identifier: str | None = None) -> str:
        """Make a token.

        Args:
            subject: the account that it names as its bearer.
            session: the login that it is issued in.
            at: when its lifetime begins, as Unix time; None for now.
            identifier: tells it from others of the same second; None for a random one. The token is the same each time
                if both are given.
        """
        begin = int(time.time() if at is None else at)
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "sid": session,
            "iat": begin,
            "exp": begin + self.lifetime,
            "jti": identifier or uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._key, ALGORITHM)

    def read(self, token: str) -> Claims:
        """What a token says.

        Raises:
            InvalidToken: not a token of ours, or expired.
        """
        # A good signature stays good: only the time has to be looked at again.
        claims = self._verified(token)
        if time.time() >= claims.expires_at + LEEWAY:
            raise InvalidToken
        return claims

    def _verify(self, token: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self._key,
                [ALGORITHM],
                issuer=ISSUER,
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "sid", "iat", "exp"]},
            )
        except jwt.InvalidTokenError as error:
            raise InvalidToken from error
        return Claims(str(claims["sub"]), str(claims["sid"]), float(claims["exp"]))
