"""Access tokens: JWT signed with SECRET_KEY (HS256)."""

import time
import uuid
from datetime import timedelta
from http import HTTPStatus

import jwt

from app.kit.problems import Problem
from app.settings import Settings

ISSUER = "cleaning-service"
ALGORITHM = "HS256"
LEEWAY = timedelta(seconds=10)  # clocks of two hosts may differ


class InvalidToken(Problem):
    """There is no token, or it cannot be trusted (any more)."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "invalid-token"
    title = "Not signed in"
    explanation = "The access token is missing, wrong or expired. Log in again."
    extra_headers = (("WWW-Authenticate", "Bearer"),)


class Tokens:
    """Issues and reads access tokens."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret_key.get_secret_value()
        self.lifetime = settings.access_token_minutes * 60
        """Seconds."""

    def issue(self, subject: str, session: str) -> str:
        """Make a token that names its bearer `subject`, in the login `session`, for the lifetime."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "sid": session,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._key, ALGORITHM)

    def read(self, token: str) -> tuple[str, str]:
        """Return whom the token names, and the session that it was issued in.

        Raises:
            InvalidToken: not a token of ours, or expired.
        """
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
        return str(claims["sub"]), str(claims["sid"])
