"""What a person may ask for by law: a copy of their data, and to be forgotten."""

from collections.abc import Callable, Collection

import structlog
from sqlalchemy import delete
from sqlmodel import Session, col

from app.accounts import codes, people, sessions
from app.accounts.guard import Guard
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
"""Returns ids of what is the person's in the audit log, if there is anything."""
Exporter = Callable[[Session, str], object]

ERASED_NAME = "Erased user"
UNUSABLE = "!"
"""Stands for a password that nobody has: no hash looks like this."""
EXPORTED_SESSIONS = 1000
EXPORTED_ENTRIES = 5000
"""Of the audit log."""


class Privacy:
    """Export and erasure."""

    def __init__(self, *, database: Database, roles: Roles, guard: Guard, notifications: Notifications) -> None:
        self._database = database
        self._roles = roles
        self._guard = guard
        self._notifications = notifications
        self.listeners: list[EraseListener] = []
        self.exporters: dict[str, Exporter] = {}

    async def export(self, actor: Actor) -> Export:
        """All that is stored about the actor."""

        def work(session: Session) -> Export:
            return Export(
                profile=User.model_validate(session.get_one(UserAccount, actor.id)),
                sessions=[
                    sessions.as_login(login, actor) for login in sessions.newest(session, actor.id, EXPORTED_SESSIONS)
                ],
                activity=[_activity(entry, actor.id) for entry in audit.of_person(session, actor.id, EXPORTED_ENTRIES)],
                data={name: exporter(session, actor.id) for name, exporter in self.exporters.items()},
            )

        return await self._database.read(work)

    async def erase(self, actor: Actor, password: Password) -> None:
        """Make the actor's account nobody's, for ever.

        Raises:
            TooManyRequests: too many failures.
            WrongPassword: it is another.
            LastAdmin: nobody could administer the company any more.
        """
        seen = await self._guard.own_password(actor.id, password.get_secret_value())
        await self._database.write(lambda session: self._erase(session, actor.id, seen))

    def _erase(self, session: Session, account_id: str, seen: str) -> None:
        account = session.get_one(UserAccount, account_id)
        if account.password_hash != seen or account.erased_at is not None:
            raise WrongPassword
        if is_last_admin(session, account):
            raise LastAdmin
        account.erased_at = now()
        subjects = [subject for listener in self.listeners for subject in listener(session, account_id) or ()]
        account.email = f"erased-{account_id}@erased.invalid"
        account.full_name, account.phone, account.email_verified_at = ERASED_NAME, None, None
        account.password_hash = UNUSABLE
        # What follows for others' bookings is written down without the address of the person who is erased.
        with structlog.contextvars.bound_contextvars(client=None):
            self._roles.set(session, account, Role(account.role), is_active=False, actor_id=account_id)
        people.index(session, account)
        codes.revoke(session, account_id)
        # Their refresh tokens go with them: the foreign key cascades.
        session.execute(delete(LoginSession).where(col(LoginSession.account_id) == account_id))
        idempotency.forget(session, account_id)
        self._notifications.forget(session, account_id)
        audit.record(session, "account.erased", actor_id=account_id, subject_id=account_id)
        audit.forget_addresses(session, account_id, subjects)


def _activity(entry: audit.AuditEntry, account_id: str) -> Activity:
    """The entry as its person may see it: somebody else's address is not theirs."""
    own = entry.actor_id in {account_id, None}
    return Activity(at=entry.at, action=entry.action, address=entry.address if own else None, details=entry.details)
