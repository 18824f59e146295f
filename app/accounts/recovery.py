"""Proving an e-mail address, and what changes a password or an address."""

from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.accounts import codes, people, sessions
from app.accounts.fields import NewPassword
from app.accounts.guard import Guard
from app.accounts.models import Purpose, UserAccount
from app.accounts.problems import EmailTaken, InvalidCode, MailOff, WrongPassword
from app.accounts.schemas import Password
from app.kit import audit
from app.kit.actor import Actor
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.models import now
from app.notifications.service import Notifications, Recipient, Template

VERIFY_WITHIN = timedelta(hours=24)
RESET_WITHIN = timedelta(hours=1)


def recipient(account: UserAccount, email: str | None = None) -> Recipient:
    """The account's owner, at another address if given."""
    return Recipient(account.id, email or account.email, account.full_name, account.language)


class Recovery:
    """Verification, forgotten passwords, new passwords and new addresses."""

    def __init__(
        self, *, database: Database, hasher: PasswordHasher, notifications: Notifications, guard: Guard
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._notifications = notifications
        self._guard = guard

    async def send_verification(self, email: str, client: str) -> None:
        """Send a code to the address, if it belongs to an account and is not verified.

        Raises:
            MailOff: the service sends no e-mail.
            TooManyRequests: too many messages to this address, or for this client.
        """
        await self._send(email, client, Purpose.VERIFY_EMAIL)

    async def send_reset(self, email: str, client: str) -> None:
        """Send a code that allows to set a new password, if the address belongs to an account.

        Raises:
            MailOff: the service sends no e-mail.
            TooManyRequests: too many messages to this address, or for this client.
        """
        await self._send(email, client, Purpose.RESET_PASSWORD)

    async def verify(self, code: str) -> None:
        """Prove an address: the one registered with, or the one to change to.

        Raises:
            InvalidCode: wrong, expired or used.
            EmailTaken: somebody else has registered with the new address meanwhile.
        """
        try:
            await self._database.write(lambda session: self._verify(session, code))
        except IntegrityError as error:
            raise EmailTaken from error

    async def reset_password(self, code: str, new: NewPassword) -> None:
        """Set a new password and end all sessions.

        Raises:
            InvalidCode: wrong, expired or used.
            Overloaded: too many are waiting for their password to be hashed.
        """
        # Before the hashing, so that guessing codes costs the server nothing.
        if await self._database.read(lambda session: codes.peek(session, code, Purpose.RESET_PASSWORD)) is None:
            raise InvalidCode
        hashed = await self._hasher.hash(new.get_secret_value())

        def work(session: Session) -> None:
            account = _redeem(session, code, Purpose.RESET_PASSWORD)
            # The code came by e-mail: whoever has it reads the address.
            account.email_verified_at = account.email_verified_at or now()
            self._set_password(session, account, hashed)
            audit.record(session, "password.reset", actor_id=account.id, subject_id=account.id)

        await self._database.write(work)

    async def change_password(self, actor: Actor, current: Password, new: NewPassword) -> None:
        """Set a new password and end all other sessions.

        Raises:
            TooManyRequests: too many failures.
            WrongPassword: the current password is another.
            Overloaded: too many are waiting for their password to be hashed.
        """
        seen = await self._guard.own_password(actor.id, current.get_secret_value())
        hashed = await self._hasher.hash(new.get_secret_value())

        def work(session: Session) -> None:
            account = _unchanged(session, actor, seen)
            self._set_password(session, account, hashed, keep=actor.session_id)
            audit.record(session, "password.changed", actor_id=account.id, subject_id=account.id)

        await self._database.write(work)

    async def change_email(self, actor: Actor, current: Password, email: str) -> UserAccount | None:
        """Change the address, or send a code to the new one when the service sends e-mail.

        Returns:
            The changed account; None when a code was sent, or the owner of the address was told.

        Raises:
            TooManyRequests: too many failures, or messages.
            WrongPassword: the current password is another.
            EmailTaken: the address has an account already, and the service sends no e-mail.
        """
        seen = await self._guard.own_password(actor.id, current.get_secret_value())
        if not self._notifications.can_mail:
            return await self._change_at_once(actor, seen, email)
        await self._guard.mail_to(actor.id)
        await self._guard.mail_to(email)

        def work(session: Session) -> None:
            account = _unchanged(session, actor, seen)
            code = codes.issue(session, account, Purpose.CHANGE_EMAIL, email, now() + VERIFY_WITHIN)
            owner = people.by_email(session, email)
            if owner is None:
                to = recipient(account, email)
                self._notifications.notify(session, Template.CHANGE_EMAIL, to, code=code, new_email=email)
            elif owner.id != account.id:
                self._notifications.notify(session, Template.EMAIL_TAKEN, recipient(owner))

        await self._database.write(work)
        return None

    async def _change_at_once(self, actor: Actor, seen: str, email: str) -> UserAccount:
        def work(session: Session) -> UserAccount:
            account = _unchanged(session, actor, seen)
            if account.email != email:
                self._set_email(session, account, email)
                account.email_verified_at = None
            return account

        try:
            return await self._database.write(work)
        except IntegrityError as error:
            raise EmailTaken from error

    async def _send(self, email: str, client: str, purpose: Purpose) -> None:
        if not self._notifications.can_mail:
            raise MailOff
        await self._guard.mail_to(email, client)
        await self._database.write(lambda session: self._send_code(session, email, purpose))

    def _send_code(self, session: Session, email: str, purpose: Purpose) -> None:
        """The same look-up and a commit in all cases, so that the time says nothing about the account."""
        account = people.by_email(session, email)
        audit.record(session, f"{purpose}.requested", actor_id=None, subject_id=account.id if account else None)
        if account is None or not account.is_active:
            return
        if purpose is Purpose.RESET_PASSWORD:
            code = codes.issue(session, account, purpose, email, now() + RESET_WITHIN)
            self._notifications.notify(session, Template.RESET_PASSWORD, recipient(account), code=code)
        elif not account.email_verified:
            code = codes.issue(session, account, purpose, email, now() + VERIFY_WITHIN)
            self._notifications.notify(session, Template.VERIFY_EMAIL, recipient(account), code=code)

    def _verify(self, session: Session, code: str) -> None:
        token = codes.redeem(session, code, Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL)
        account = session.get_one(UserAccount, token.account_id) if token else None
        if token is None or account is None or not account.is_active:
            raise InvalidCode
        if token.purpose == Purpose.CHANGE_EMAIL:
            self._set_email(session, account, token.email)
        elif token.email != account.email:
            raise InvalidCode
        else:
            account.version += 1
        account.email_verified_at = now()

    def _set_email(self, session: Session, account: UserAccount, email: str) -> None:
        self._notifications.notify(session, Template.EMAIL_CHANGED, recipient(account), new_email=email)
        account.email = email
        account.version += 1
        session.flush()
        codes.revoke(session, account.id)  # those sent to the old address
        people.index(session, account)
        audit.record(session, "email.changed", actor_id=account.id, subject_id=account.id)

    def _set_password(self, session: Session, account: UserAccount, hashed: str, *, keep: str | None = None) -> None:
        account.password_hash = hashed
        account.version += 1
        session.flush()
        codes.revoke(session, account.id)  # whoever asked for them may not know the new password
        sessions.revoke(session, account.id, but=keep)
        self._notifications.notify(session, Template.PASSWORD_CHANGED, recipient(account))


def _redeem(session: Session, code: str, purpose: Purpose) -> UserAccount:
    token = codes.redeem(session, code, purpose)
    account = session.get_one(UserAccount, token.account_id) if token else None
    if token is None or account is None or not account.is_active or account.email != token.email:
        raise InvalidCode
    return account


def _unchanged(session: Session, actor: Actor, seen: str) -> UserAccount:
    """The actor's account, if the password is still the one that was just compared."""
    account = session.get_one(UserAccount, actor.id)
    if account.password_hash != seen or not account.is_active:
        raise WrongPassword
    return account
