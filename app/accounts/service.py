"""What can be done with accounts: registration and the profile here, the rest in the parts."""

import uuid
from collections.abc import Collection

from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.accounts import codes, people
from app.accounts.directory import Directory
from app.accounts.fields import NewPassword
from app.accounts.guard import Guard
from app.accounts.models import Purpose, UserAccount
from app.accounts.people import Person
from app.accounts.privacy import EraseListener, Exporter, Privacy
from app.accounts.problems import AccountErased, EmailTaken
from app.accounts.recovery import VERIFY_WITHIN, Recovery, recipient
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

ANONYMOUS = "anonymous"
"""Whose Idempotency-Keys those of registrations are."""
FOUND = 50


class Registered(BaseModel):
    """What a registration came to; kept for repetitions, so there is nothing personal in it."""

    account_id: str | None
    """None when the answer must not tell whether there is an account."""


class Accounts:
    """Registration and the signed-in user; what other features may know of accounts."""

    def __init__(  # noqa: PLR0913  # what it works with
        self,
        settings: Settings,
        *,
        database: Database,
        hasher: PasswordHasher,
        limiter: RateLimiter,
        tokens: Tokens,
        notifications: Notifications,
    ) -> None:
        guard = Guard(settings, database=database, hasher=hasher, limiter=limiter)
        self._database = database
        self._hasher = hasher
        self._limiter = limiter
        self._notifications = notifications
        self._guard = guard
        self._roles = Roles()
        self._verification_required = settings.email_verification_required
        self._registrations = Limit("registration", settings.registrations_per_minute, 60)
        self.sessions = Sessions(settings, database=database, hasher=hasher, tokens=tokens, guard=guard)
        self.recovery = Recovery(database=database, hasher=hasher, notifications=notifications, guard=guard)
        self.directory = Directory(database=database, roles=self._roles)
        self.privacy = Privacy(database=database, roles=self._roles, guard=guard, notifications=notifications)

    async def register(self, registration: Registration, attempt: Attempt, address: str) -> UserAccount | None:
        """Create an account.

        Args:
            registration: who it is.
            attempt: the request, which may be a repetition.
            address: the client's, for the rate limit.

        Returns:
            The account; None when e-mail addresses have to be verified, whether or not there was an account.

        Raises:
            TooManyRequests: too many registrations from this address, or messages to this e-mail address.
            EmailTaken: the e-mail address has an account already, and addresses need not be verified.
            IdempotencyKeyReused: the key belongs to another request.
            Overloaded: too many registrations are waiting.
            DatabaseUnavailable: it could not be written in time.
        """
        await self._limiter.take(self._registrations, address)
        if self._verification_required:
            await self._guard.mail_to(registration.email)
        account = await self._prepare(registration)

        def work(session: Session) -> UserAccount | None:
            done = attempt.once(session, ANONYMOUS, Registered, lambda: self._enrol(session, account))
            return session.get(UserAccount, done.account_id) if done.account_id else None

        try:
            return await self._database.write(work)
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
        await self._database.rehearse(lambda session: self._enrol(session, account))

    async def create_admin(self, registration: Registration) -> None:
        """Create an administrator whose address the operator vouches for.

        Raises:
            EmailTaken: the e-mail address has an account already.
        """
        account = await self._prepare(registration)
        account.email_verified_at = now()

        def work(session: Session) -> None:
            _insert(session, account)
            self._roles.set(session, account, Role.ADMIN, is_active=True, actor_id=None)

        try:
            await self._database.write(work)
        except IntegrityError as error:
            raise EmailTaken from error

    async def promote(self, account_id: str) -> bool:
        """Make an account an active administrator's; returns whether anything has changed.

        Raises:
            AccountErased: it has been erased.
        """

        def work(session: Session) -> bool:
            account = session.get_one(UserAccount, account_id)
            if account.erased_at is not None:
                raise AccountErased
            return self._roles.set(session, account, Role.ADMIN, is_active=True, actor_id=None) is not None

        return await self._database.write(work)

    def account(self, session: Session, actor: Actor) -> UserAccount:
        """The actor's own account."""
        return session.get_one(UserAccount, actor.id)

    async def change_profile(self, actor: Actor, change: ProfileChange, expected: Expected) -> UserAccount:
        """Change the actor's own account.

        Raises:
            PreconditionFailed: it has changed meanwhile.
        """

        def work(session: Session) -> UserAccount:
            account = session.get_one(UserAccount, actor.id)
            expected.check(account)
            changes = change.model_dump(exclude_unset=True)
            if changes:
                account.sqlmodel_update(changes)
                account.version += 1
                people.index(session, account)
            return account

        return await self._database.write(work)

    def person(self, session: Session, account_id: str) -> Person | None:
        """This person, erased ones too."""
        return people.people(session, [account_id]).get(account_id)

    def people(self, session: Session, ids: Collection[str]) -> dict[str, Person]:
        """These people, by id; those that do not exist are left out. At most some hundreds."""
        return people.people(session, ids)

    def office(self, session: Session) -> list[Person]:
        """All active managers and administrators."""
        return people.office(session)

    def lock(self, session: Session, account_id: str) -> None:
        """Let one transaction at a time do what follows for this account, where the database can write several."""
        session.get(UserAccount, account_id, with_for_update={"key_share": True})

    def find(self, session: Session, q: str, limit: int = FOUND) -> list[str]:
        """Ids of accounts of which a word of the name, the e-mail address or the phone begins with each word of `q`."""
        return people.find(session, q, limit)

    def on_role_change(self, listener: RoleListener) -> None:
        """Have `listener(session, account_id, role, is_active)` called in the transaction that changes either.

        It returns the visits that have lost their cleaner by it.
        """
        self._roles.listeners.append(listener)

    def on_erase(self, listener: EraseListener) -> None:
        """Have `listener(session, account_id)` called in the transaction, before the account loses name and address.

        It may return ids of what is the person's in the audit log.
        """
        self.privacy.listeners.append(listener)

    def on_export(self, name: str, exporter: Exporter) -> None:
        """Add what `exporter(session, account_id)` returns (fit for JSON) to a user's data, under `name`."""
        self.privacy.exporters[name] = exporter

    async def _prepare(self, registration: Registration) -> UserAccount:
        """The row to insert; hashed here because a transaction must not wait for a hash."""
        return UserAccount(
            email=registration.email,
            password_hash=await self._hasher.hash(registration.password.get_secret_value()),
            full_name=registration.full_name,
            phone=registration.phone,
            language=registration.language,
        )

    def _enrol(self, session: Session, account: UserAccount) -> Registered:
        if not self._verification_required:
            _insert(session, account)
            return Registered(account_id=account.id)
        if known := people.by_email(session, account.email):
            self._notifications.notify(session, Template.EMAIL_TAKEN, recipient(known))
            return Registered(account_id=None)
        _insert(session, account)
        code = codes.issue(session, account, Purpose.VERIFY_EMAIL, account.email, now() + VERIFY_WITHIN)
        self._notifications.notify(session, Template.VERIFY_EMAIL, recipient(account), code=code)
        return Registered(account_id=None)


def _insert(session: Session, account: UserAccount) -> None:
    session.add(account)
    session.flush()  # an address that is taken is refused here
    people.index_new(session, account)
