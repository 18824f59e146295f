"""Entry point to the accounts: registration, profiles, and the services for the other tasks."""

import uuid
from collections.abc import Collection

from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.accounts import codes, people
from app.accounts.directory import AccountDirectory
from app.accounts.fields import NewPassword
from app.accounts.guard import AbuseGuard
from app.accounts.models import TokenPurpose, UserAccount
from app.accounts.people import Person
from app.accounts.privacy import EraseListener, Exporter, Privacy
from app.accounts.problems import AccountErased, EmailTaken
from app.accounts.recovery import VERIFICATION_LIFETIME, AccountRecovery, recipient
from app.accounts.roles import RoleListener, Roles
from app.accounts.schemas import ProfileChange, Registration
from app.accounts.sessions import Sessions
from app.kit.actor import Actor, Role
from app.kit.conditional import Expected
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.idempotency import Attempt
from app.kit.models import now
from app.kit.ratelimit import Limit, RateLimiter
from app.kit.tokens import Tokens
from app.notifications.service import Notifications, Template
from app.settings import Settings

__all__ = ["Accounts", "Person"]

ANONYMOUS_SCOPE = "anonymous"
"""Scope of the Idempotency-Keys of registrations."""
SEARCH_LIMIT = 50


class RegistrationOutcome(BaseModel):
    """The outcome of a registration. It is stored under the Idempotency-Key, so it holds no personal data."""

    account_id: str | None
    """None if the answer must not reveal whether the account existed before."""


class Accounts:
    """Registers users, changes profiles, and gives other features access to accounts."""

    def __init__(  # noqa: PLR0913  # its dependencies
        self,
        settings: Settings,
        *,
        database: Database,
        hasher: PasswordHasher,
        limiter: RateLimiter,
        tokens: Tokens,
        notifications: Notifications,
    ) -> None:
        guard = AbuseGuard(settings, database=database, hasher=hasher, limiter=limiter)
        self._database = database
        self._hasher = hasher
        self._limiter = limiter
        self._notifications = notifications
        self._guard = guard
        self._roles = Roles()
        self._verification_required = settings.email_verification_required
        self._registrations = Limit("registration", settings.registrations_per_minute, 60)
        self.sessions = Sessions(settings, database=database, hasher=hasher, tokens=tokens, guard=guard)
        self.recovery = AccountRecovery(database=database, hasher=hasher, notifications=notifications, guard=guard)
        self.directory = AccountDirectory(database=database, roles=self._roles)
        self.privacy = Privacy(database=database, roles=self._roles, guard=guard, notifications=notifications)

    async def register(self, registration: Registration, attempt: Attempt, address: str) -> UserAccount | None:
        """Create an account.

        Args:
            registration: data of the new user.
            attempt: the request, which may be a repetition.
            address: network address of the client, for the rate limit.

        Returns:
            The account; None if e-mail addresses must be verified, whether or not the account existed before.

        Raises:
            TooManyRequests: too many registrations from this address, or e-mails to this e-mail address.
            EmailTaken: another account has the e-mail address, and addresses need not be verified.
            IdempotencyKeyReused: the key belongs to another request.
            Overloaded: too many registrations are waiting.
            DatabaseUnavailable: the database did not answer in time.
        """
        await self._limiter.take(self._registrations, address)
        if self._verification_required:
            await self._guard.count_mail(registration.email)
        account = await self._new_account(registration)

        def work(session: Session) -> UserAccount | None:
            outcome = attempt.once(
                session, ANONYMOUS_SCOPE, RegistrationOutcome, lambda: self._create_account(session, account)
            )
            return session.get(UserAccount, outcome.account_id) if outcome.account_id else None

        try:
            return await self._database.write(work)
        except IntegrityError as error:
            raise EmailTaken from error

    async def rehearse_registration(self) -> None:
        """Run a complete registration and roll it back. Raises the errors of `register`."""
        account = await self._new_account(
            Registration(
                email=f"{uuid.uuid4().hex}@canary.example",
                password=NewPassword(uuid.uuid4().hex),
                full_name="Canary",
            )
        )
        await self._database.rehearse(lambda session: self._create_account(session, account))

    async def create_admin(self, registration: Registration) -> None:
        """Create an administrator. The e-mail address counts as verified.

        Raises:
            EmailTaken: another account has the e-mail address.
        """
        account = await self._new_account(registration)
        account.email_verified_at = now()

        def work(session: Session) -> None:
            _insert(session, account)
            self._roles.set(session, account, Role.ADMIN, is_active=True, actor_id=None)

        try:
            await self._database.write(work)
        except IntegrityError as error:
            raise EmailTaken from error

    async def promote(self, account_id: str) -> bool:
        """Make an account an active administrator, and return whether it has changed.

        Raises:
            AccountErased: the account has been erased.
        """

        def work(session: Session) -> bool:
            account = session.get_one(UserAccount, account_id)
            if account.erased_at is not None:
                raise AccountErased
            return self._roles.set(session, account, Role.ADMIN, is_active=True, actor_id=None) is not None

        return await self._database.write(work)

    def account(self, session: Session, actor: Actor) -> UserAccount:
        """Return the actor's own account."""
        return session.get_one(UserAccount, actor.id)

    async def change_profile(self, actor: Actor, change: ProfileChange, expected: Expected) -> UserAccount:
        """Change the actor's own account.

        Raises:
            PreconditionFailed: the account has another version than `expected`.
        """

        def work(session: Session) -> UserAccount:
            account = session.get_one(UserAccount, actor.id)
            expected.check(account)
            changes = change.model_dump(exclude_unset=True)
            if changes:
                account.sqlmodel_update(changes)
                account.version += 1
                people.update_search_terms(session, account)
            return account

        return await self._database.write(work)

    def person(self, session: Session, account_id: str) -> Person | None:
        """Return a person, also an erased one."""
        return people.people(session, [account_id]).get(account_id)

    def people(self, session: Session, ids: Collection[str]) -> dict[str, Person]:
        """Return people by id. Unknown ids are left out. For up to a few hundred ids."""
        return people.people(session, ids)

    def office_members(self, session: Session) -> list[Person]:
        """Return all active managers and administrators."""
        return people.office_members(session)

    def lock(self, session: Session, account_id: str) -> None:
        """Lock the account until the end of the transaction, in a database with several concurrent writers."""
        session.get(UserAccount, account_id, with_for_update={"key_share": True})

    def search(self, session: Session, q: str, limit: int = SEARCH_LIMIT) -> list[str]:
        """Return ids of accounts. Each word of `q` begins a word of their name, e-mail address or phone number."""
        return people.search(session, q, limit)

    def on_role_change(self, listener: RoleListener) -> None:
        """Call `listener(session, account_id, role, is_active)` within each transaction that changes either.

        The listener returns the visits that have lost their cleaner because of the change.
        """
        self._roles.listeners.append(listener)

    def on_erase(self, listener: EraseListener) -> None:
        """Call `listener(session, account_id)` within the transaction, before the name and address are erased.

        The listener can return ids of audit log subjects that belong to the user.
        """
        self.privacy.listeners.append(listener)

    def on_export(self, name: str, exporter: Exporter) -> None:
        """Add the JSON-compatible result of `exporter(session, account_id)` to the export of a user, under `name`."""
        self.privacy.exporters[name] = exporter

    async def _new_account(self, registration: Registration) -> UserAccount:
        """Build the row of a new account. The password is hashed here, because a transaction must not wait for it."""
        return UserAccount(
            email=registration.email,
            password_hash=await self._hasher.hash(registration.password.get_secret_value()),
            full_name=registration.full_name,
            phone=registration.phone,
            language=registration.language,
        )

    def _create_account(self, session: Session, account: UserAccount) -> RegistrationOutcome:
        if not self._verification_required:
            _insert(session, account)
            return RegistrationOutcome(account_id=account.id)
        if known := people.by_email(session, account.email):
            self._notifications.notify(session, Template.EMAIL_TAKEN, recipient(known))
            return RegistrationOutcome(account_id=None)
        _insert(session, account)
        code = codes.issue(session, account, TokenPurpose.VERIFY_EMAIL, account.email, now() + VERIFICATION_LIFETIME)
        self._notifications.notify(session, Template.VERIFY_EMAIL, recipient(account), code=code)
        return RegistrationOutcome(account_id=None)


def _insert(session: Session, account: UserAccount) -> None:
    session.add(account)
    session.flush()  # raises IntegrityError if another account has the address
    people.add_search_terms(session, account)
