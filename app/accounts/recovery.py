"""Verification of e-mail addresses, and changes of passwords and addresses."""

from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.accounts import codes, people, sessions
from app.accounts.fields import NewPassword
from app.accounts.guard import AbuseGuard
from app.accounts.models import TokenPurpose, UserAccount
from app.accounts.problems import EmailTaken, InvalidCode, MailDisabled, WrongPassword
from app.accounts.schemas import Password
from app.kit import audit
from app.kit.actor import Actor
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.models import now
from app.notifications.service import Notifications, Recipient, Template

VERIFICATION_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(hours=1)


def recipient(account: UserAccount, email: str | None = None) -> Recipient:
    """Return the user as the recipient of a message, sent to `email` or else to the account's address."""
    return Recipient(account.id, email or account.email, account.full_name, account.language)


class AccountRecovery:
    """Verifies addresses, resets and changes passwords, and changes addresses."""

    def __init__(
        self, *, database: Database, hasher: PasswordHasher, notifications: Notifications, guard: AbuseGuard
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._notifications = notifications
        self._guard = guard

    async def send_verification(self, email: str, client: str) -> None:
        """Send a code to the address if it belongs to an unverified account.

        Raises:
            MailDisabled: the service sends no e-mail.
            TooManyRequests: too many e-mails were requested for this address or by this client.
        """
        await self._send(email, client, TokenPurpose.VERIFY_EMAIL)

    async def send_reset(self, email: str, client: str) -> None:
        """Send a code for a new password if the address belongs to an account.

        Raises:
            MailDisabled: the service sends no e-mail.
            TooManyRequests: too many e-mails were requested for this address or by this client.
        """
        await self._send(email, client, TokenPurpose.RESET_PASSWORD)

    async def verify(self, code: str) -> None:
        """Verify the registered address, or complete the change to a new address.

        Raises:
            InvalidCode: the code is wrong, expired or used.
            EmailTaken: another account has the new address.
        """
        try:
            await self._database.write(lambda session: self._verify(session, code))
        except IntegrityError as error:
            raise EmailTaken from error

    async def reset_password(self, code: str, new: NewPassword) -> None:
        """Set a new password and end all sessions.

        Raises:
            InvalidCode: the code is wrong, expired or used.
            Overloaded: too many passwords are waiting to be hashed.
        """
        # Checked before the hashing, so that guesses of codes cost no processor time.
        if (
            await self._database.read(lambda session: codes.find_usable(session, code, TokenPurpose.RESET_PASSWORD))
            is None
        ):
            raise InvalidCode
        hashed = await self._hasher.hash(new.get_secret_value())

        def work(session: Session) -> None:
            account = _redeem_code(session, code, TokenPurpose.RESET_PASSWORD)
            # The code was sent by e-mail, so it also verifies the address.
            account.email_verified_at = account.email_verified_at or now()
            self._set_password(session, account, hashed)
            audit.record(session, "password.reset", actor_id=account.id, subject_id=account.id)

        await self._database.write(work)

    async def change_password(self, actor: Actor, current: Password, new: NewPassword) -> None:
        """Set a new password and end all other sessions.

        Raises:
            TooManyRequests: there were too many wrong passwords.
            WrongPassword: the current password is wrong.
            Overloaded: too many passwords are waiting to be hashed.
        """
        confirmed_hash = await self._guard.confirm_password(actor.id, current.get_secret_value())
        hashed = await self._hasher.hash(new.get_secret_value())

        def work(session: Session) -> None:
            account = _confirmed_account(session, actor, confirmed_hash)
            self._set_password(session, account, hashed, keep=actor.session_id)
            audit.record(session, "password.changed", actor_id=account.id, subject_id=account.id)

        await self._database.write(work)

    async def change_email(self, actor: Actor, current: Password, email: str) -> UserAccount | None:
        """Send a code to the new address. A service that sends no e-mail changes the address at once.

        Returns:
            The changed account; None if an e-mail was sent to the new address or to its owner.

        Raises:
            TooManyRequests: there were too many wrong passwords or e-mails.
            WrongPassword: the current password is wrong.
            EmailTaken: another account has the address, and the service sends no e-mail.
        """
        confirmed_hash = await self._guard.confirm_password(actor.id, current.get_secret_value())
        if not self._notifications.can_mail:
            return await self._change_at_once(actor, confirmed_hash, email)
        await self._guard.count_mail(actor.id)
        await self._guard.count_mail(email)

        def work(session: Session) -> None:
            account = _confirmed_account(session, actor, confirmed_hash)
            code = codes.issue(session, account, TokenPurpose.CHANGE_EMAIL, email, now() + VERIFICATION_LIFETIME)
            owner = people.by_email(session, email)
            if owner is None:
                to = recipient(account, email)
                self._notifications.notify(session, Template.CHANGE_EMAIL, to, code=code, new_email=email)
            elif owner.id != account.id:
                self._notifications.notify(session, Template.EMAIL_TAKEN, recipient(owner))

        await self._database.write(work)
        return None

    async def _change_at_once(self, actor: Actor, confirmed_hash: str, email: str) -> UserAccount:
        def work(session: Session) -> UserAccount:
            account = _confirmed_account(session, actor, confirmed_hash)
            if account.email != email:
                self._set_email(session, account, email)
                account.email_verified_at = None
            return account

        try:
            return await self._database.write(work)
        except IntegrityError as error:
            raise EmailTaken from error

    async def _send(self, email: str, client: str, purpose: TokenPurpose) -> None:
        if not self._notifications.can_mail:
            raise MailDisabled
        await self._guard.count_mail(email, client)
        await self._database.write(lambda session: self._send_code(session, email, purpose))

    def _send_code(self, session: Session, email: str, purpose: TokenPurpose) -> None:
        """Send a code. Every call does one look-up and one commit, so its duration does not reveal an account."""
        account = people.by_email(session, email)
        audit.record(session, f"{purpose}.requested", actor_id=None, subject_id=account.id if account else None)
        if account is None or not account.is_active:
            return
        if purpose is TokenPurpose.RESET_PASSWORD:
            code = codes.issue(session, account, purpose, email, now() + RESET_LIFETIME)
            self._notifications.notify(session, Template.RESET_PASSWORD, recipient(account), code=code)
        elif not account.email_verified:
            code = codes.issue(session, account, purpose, email, now() + VERIFICATION_LIFETIME)
            self._notifications.notify(session, Template.VERIFY_EMAIL, recipient(account), code=code)

    def _verify(self, session: Session, code: str) -> None:
        token = codes.redeem(session, code, TokenPurpose.VERIFY_EMAIL, TokenPurpose.CHANGE_EMAIL)
        account = session.get_one(UserAccount, token.account_id) if token else None
        if token is None or account is None or not account.is_active:
            raise InvalidCode
        if token.purpose == TokenPurpose.CHANGE_EMAIL:
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
        codes.revoke(session, account.id)  # codes sent to the old address must not work
        people.update_search_terms(session, account)
        audit.record(session, "email.changed", actor_id=account.id, subject_id=account.id)

    def _set_password(self, session: Session, account: UserAccount, hashed: str, *, keep: str | None = None) -> None:
        account.password_hash = hashed
        account.version += 1
        session.flush()
        codes.revoke(session, account.id)  # a stranger may have requested them
        sessions.revoke(session, account.id, keep=keep)
        self._notifications.notify(session, Template.PASSWORD_CHANGED, recipient(account))


def _redeem_code(session: Session, code: str, purpose: TokenPurpose) -> UserAccount:
    token = codes.redeem(session, code, purpose)
    account = session.get_one(UserAccount, token.account_id) if token else None
    if token is None or account is None or not account.is_active or account.email != token.email:
        raise InvalidCode
    return account


def _confirmed_account(session: Session, actor: Actor, confirmed_hash: str) -> UserAccount:
    """Return the actor's account if its password has not changed since the password was confirmed."""
    account = session.get_one(UserAccount, actor.id)
    if account.password_hash != confirmed_hash or not account.is_active:
        raise WrongPassword
    return account
