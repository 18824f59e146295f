"""Export and erasure of a user's personal data (GDPR, articles 15 and 17)."""

from collections.abc import Callable, Collection

import structlog
from sqlalchemy import delete
from sqlmodel import Session, col

from app.accounts import codes, people, sessions
from app.accounts.guard import AbuseGuard
from app.accounts.models import LoginSession, UserAccount
from app.accounts.problems import LastAdmin, WrongPassword
from app.accounts.roles import Roles, is_last_admin
from app.accounts.schemas import Activity, Export, Password, User
from app.kit import audit, idempotency
from app.kit.actor import Actor, Role
from app.kit.database import Database
from app.kit.models import now
from app.notifications.service import Notifications

EraseListener = Callable[[Session, str], Collection[str] | None]
"""Called with the account's id. Can return ids of audit log subjects that belong to the user."""
Exporter = Callable[[Session, str], object]

ERASED_NAME = "Erased user"
UNUSABLE_HASH = "!"
"""Matches no password."""
MAXIMUM_SESSIONS = 1000
MAXIMUM_ENTRIES = 5000


class Privacy:
    """Exports and erases personal data."""

    def __init__(self, *, database: Database, roles: Roles, guard: AbuseGuard, notifications: Notifications) -> None:
        self._database = database
        self._roles = roles
        self._guard = guard
        self._notifications = notifications
        self.listeners: list[EraseListener] = []
        self.exporters: dict[str, Exporter] = {}

    async def export(self, actor: Actor) -> Export:
        """Return all data stored about the actor."""

        def work(session: Session) -> Export:
            return Export(
                profile=User.model_validate(session.get_one(UserAccount, actor.id)),
                sessions=[
                    sessions.as_login(login, actor) for login in sessions.newest(session, actor.id, MAXIMUM_SESSIONS)
                ],
                activity=[_activity(entry, actor.id) for entry in audit.of_person(session, actor.id, MAXIMUM_ENTRIES)],
                data={name: exporter(session, actor.id) for name, exporter in self.exporters.items()},
            )

        return await self._database.read(work)

    async def erase(self, actor: Actor, password: Password) -> None:
        """Erase the personal data of the actor's account permanently.

        Raises:
            TooManyRequests: there were too many wrong passwords.
            WrongPassword: the password is wrong.
            LastAdmin: the actor is the last active administrator.
        """
        confirmed_hash = await self._guard.confirm_password(actor.id, password.get_secret_value())
        await self._database.write(lambda session: self._erase(session, actor.id, confirmed_hash))

    def _erase(self, session: Session, account_id: str, confirmed_hash: str) -> None:
        account = session.get_one(UserAccount, account_id)
        if account.password_hash != confirmed_hash or account.erased_at is not None:
            raise WrongPassword
        if is_last_admin(session, account):
            raise LastAdmin
        account.erased_at = now()
        subjects = [subject for listener in self.listeners for subject in listener(session, account_id) or ()]
        account.email = f"erased-{account_id}@erased.invalid"
        account.full_name, account.phone, account.email_verified_at = ERASED_NAME, None, None
        account.password_hash = UNUSABLE_HASH
        # Audit entries about other users must not contain the network address of the erased user.
        with structlog.contextvars.bound_contextvars(client=None):
            self._roles.set(session, account, Role(account.role), is_active=False, actor_id=account_id)
        people.update_search_terms(session, account)
        codes.revoke(session, account_id)
        # The foreign key deletes their refresh tokens too.
        session.execute(delete(LoginSession).where(col(LoginSession.account_id) == account_id))
        idempotency.forget(session, account_id)
        self._notifications.forget(session, account_id)
        audit.record(session, "account.erased", actor_id=account_id, subject_id=account_id)
        audit.forget_addresses(session, account_id, subjects)


def _activity(entry: audit.AuditEntry, account_id: str) -> Activity:
    """Convert an audit log entry for the user, without the network addresses of other users."""
    is_own = entry.actor_id in {account_id, None}
    return Activity(at=entry.at, action=entry.action, address=entry.address if is_own else None, details=entry.details)
