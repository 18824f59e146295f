"""Limits on guessing passwords and on having e-mails sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.accounts.models import UserAccount
from app.accounts.problems import InvalidCredentials, WrongPassword
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.ratelimit import Limit, RateLimiter
from app.settings import Settings

QUARTER = 15 * 60  # seconds
MAILS_PER_RECIPIENT = Limit("mail", 5, 3600)
MAILS_PER_CLIENT = Limit("mail-client", 60, 3600)


class Guard:
    """Counts what must not be done too often."""

    def __init__(self, settings: Settings, *, database: Database, hasher: PasswordHasher, limiter: RateLimiter) -> None:
        self._database = database
        self._hasher = hasher
        self._limiter = limiter
        self._failures = Limit("login", settings.login_failures_per_quarter_hour, QUARTER)
        self._failures_of_client = Limit("login-client", settings.login_failures_per_quarter_hour_per_address, QUARTER)

    @asynccontextmanager
    async def guess(self, *subject: str, client: str | None = None) -> AsyncIterator[None]:
        """Around a check of a password: only failures count in the end.

        Args:
            subject: whose password it is, and who guesses.
            client: the network address, whose failures are counted for all accounts together; None: they are not.

        Raises:
            TooManyRequests: too many failures.
        """
        limits = [(self._failures, subject)]
        if client is not None:
            limits.append((self._failures_of_client, (client,)))
        taken: list[tuple[Limit, str]] = []
        failed = False
        try:
            # Counted before the password is checked, so that simultaneous guesses count too.
            for limit, counted in limits:
                taken.append((limit, await self._limiter.take(limit, *counted)))  # kept if one is refused
            yield
        except (InvalidCredentials, WrongPassword):
            failed = True
            raise
        finally:
            if not failed:
                for limit, ticket in taken:
                    await self._limiter.give_back(limit, ticket)

    async def own_password(self, account_id: str, password: str) -> str:
        """Make sure that the signed-in user knows their password; returns the hash that it was compared to.

        Raises:
            TooManyRequests: too many failures.
            WrongPassword: they do not.
        """
        async with self.guess("own", account_id):
            account = await self._database.read(lambda session: session.get_one(UserAccount, account_id))
            if not await self._hasher.verify(password, account.password_hash):
                raise WrongPassword
            return account.password_hash

    async def mail_to(self, recipient: str, client: str | None = None) -> None:
        """Count a message that somebody asks to be sent, whether or not it will be.

        Args:
            recipient: the address it would go to.
            client: the network address of whoever asks, None for no limit by it.

        Raises:
            TooManyRequests: too many.
        """
        if client is not None:
            await self._limiter.take(MAILS_PER_CLIENT, client)
        await self._limiter.take(MAILS_PER_RECIPIENT, recipient)
