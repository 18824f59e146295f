"""What can be done with accounts."""

import uuid

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.accounts.models import UserAccount
from app.accounts.problems import EmailTaken, InvalidCredentials
from app.accounts.schemas import Credentials, NewPassword, Registration
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.ratelimit import Limit, RateLimiter
from app.kit.tokens import InvalidToken, Tokens
from app.settings import Settings


class Accounts:
    """Registration, login and the signed-in user."""

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        hasher: PasswordHasher,
        limiter: RateLimiter,
        tokens: Tokens,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._limiter = limiter
        self._tokens = tokens
        self._registrations = Limit("registration", settings.registrations_per_minute, 60)
        self._failures = Limit("login", settings.login_failures_per_quarter_hour, 15 * 60)

    async def register(self, registration: Registration, address: str) -> UserAccount:
        """Create an account.

        Args:
            registration: who it is.
            address: the client's, for the rate limit.

        Raises:
            TooManyRequests: too many registrations from this address.
            EmailTaken: the e-mail address has an account already.
            Overloaded: too many registrations are waiting.
            DatabaseUnavailable: it could not be written in time.
        """
        await self._limiter.take(self._registrations, address)
        account = await self._prepare(registration)
        try:
            return await self._database.write(lambda session: _insert(session, account))
        except IntegrityError as error:
            raise EmailTaken from error

    async def rehearse_registration(self) -> None:
        """Go the whole way of a registration and take it back; raises what `register` does."""
        account = await self._prepare(
            Registration(
                email=f"{uuid.uuid4().hex}@canary.example",
                password=NewPassword(uuid.uuid4().hex),
                full_name="Canary",
            )
        )
        await self._database.rehearse(lambda session: _insert(session, account))

    async def log_in(self, credentials: Credentials, address: str) -> str:
        """Check the credentials and return an access token.

        Args:
            credentials: who it claims to be.
            address: the client's, for the rate limit.

        Raises:
            TooManyRequests: too many failures for this account from this address.
            InvalidCredentials: they are wrong, or the account is inactive.
            Overloaded: too many logins are waiting.
            DatabaseUnavailable: it could not be read in time.
        """
        # Counted before the password is checked, so that simultaneous guesses count too.
        ticket = await self._limiter.take(self._failures, credentials.email, address)
        failed = False
        try:
            account = await self._database.read(lambda session: _by_email(session, credentials.email))
            password = credentials.password.get_secret_value()
            matches = await self._hasher.verify(password, account.password_hash if account else None)
            if account is None or not matches or not account.is_active:
                failed = True
                raise InvalidCredentials
            return self._tokens.issue(account.id)
        finally:
            if not failed:
                await self._limiter.give_back(self._failures, ticket)

    async def signed_in(self, token: str) -> UserAccount:
        """The account that an access token belongs to.

        Raises:
            InvalidToken: wrong, expired, or of an account that is gone or inactive.
            DatabaseUnavailable: it could not be read in time.
        """
        subject = self._tokens.subject(token)
        account = await self._database.read(lambda session: session.get(UserAccount, subject))
        if account is None or not account.is_active:
            raise InvalidToken
        return account

    async def _prepare(self, registration: Registration) -> UserAccount:
        """The row to insert; hashed here because a transaction must not wait for a hash."""
        return UserAccount(
            email=registration.email,
            password_hash=await self._hasher.hash(registration.password.get_secret_value()),
            full_name=registration.full_name,
            phone=registration.phone,
        )


def _insert(session: Session, account: UserAccount) -> UserAccount:
    session.add(account)
    session.flush()
    return account


def _by_email(session: Session, email: str) -> UserAccount | None:
    return session.exec(select(UserAccount).where(UserAccount.email == email)).one_or_none()
