"""Rate limits on password guesses and on e-mails that a client can trigger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.accounts.models import UserAccount
from app.accounts.problems import InvalidCredentials, WrongPassword
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.ratelimit import Limit, RateLimiter
from app.settings import Settings

QUARTER_HOUR = 15 * 60  # seconds
MAILS_PER_RECIPIENT = Limit("mail", 5, 3600)
MAILS_PER_CLIENT = Limit("mail-client", 60, 3600)


class AbuseGuard:
    """Limits failed password checks and e-mails."""

    def __init__(self, settings: Settings, *, database: Database, hasher: PasswordHasher, limiter: RateLimiter) -> None:
        self._database = database
        self._hasher = hasher
        self._limiter = limiter
        self._failures = Limit("login", settings.login_failures_per_quarter_hour, QUARTER_HOUR)
        self._client_failures = Limit(
            "login-client", settings.login_failures_per_quarter_hour_per_address, QUARTER_HOUR
        )

    @asynccontextmanager
    async def limit_guesses(self, *subject: str, client: str | None = None) -> AsyncIterator[None]:
        """Context manager around a password check. Only failed checks stay counted.

        Args:
            subject: key of the counter, for example the account and the client.
            client: network address whose failures over all accounts are limited too; None for no such limit.

        Raises:
            TooManyRequests: there were too many failures.
        """
        limits = [(self._failures, subject)]
        if client is not None:
            limits.append((self._client_failures, (client,)))
        taken: list[tuple[Limit, str]] = []
        failed = False
        try:
            # Counting before the check includes simultaneous guesses.
            for limit, key in limits:
                taken.append((limit, await self._limiter.take(limit, *key)))  # given back even if a later limit raises
            yield
        except (InvalidCredentials, WrongPassword):
            failed = True
            raise
        finally:
            if not failed:
                for limit, ticket in taken:
                    await self._limiter.give_back(limit, ticket)

    async def confirm_password(self, account_id: str, password: str) -> str:
        """Check the password of the signed-in user, and return the hash that it matches.

        Raises:
            TooManyRequests: there were too many failures.
            WrongPassword: the password is wrong.
        """
        async with self.limit_guesses("own", account_id):
            account = await self._database.read(lambda session: session.get_one(UserAccount, account_id))
            if not await self._hasher.verify(password, account.password_hash):
                raise WrongPassword
            return account.password_hash

    async def count_mail(self, recipient: str, client: str | None = None) -> None:
        """Count a requested e-mail. It counts even if the service does not send it.

        Args:
            recipient: e-mail address or account id of the recipient.
            client: network address of the client; None for no limit per client.

        Raises:
            TooManyRequests: too many e-mails were requested.
        """
        if client is not None:
            await self._limiter.take(MAILS_PER_CLIENT, client)
        await self._limiter.take(MAILS_PER_RECIPIENT, recipient)
