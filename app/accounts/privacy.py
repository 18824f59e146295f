"""What a person may ask for by law: a copy of their data, and to be forgotten."""

from collections.abc import Callable

from sqlalchemy import delete
from sqlmodel import Session, col

from app.accounts import codes, people, sessions
from app.accounts.guard import Guard
from app.accounts.models import LoginSession, UserAccount
from app.accounts.problems import LastAdmin, WrongPassword
from app.accounts.roles import Roles, is_last_admin
from app.accounts.schemas import Export, Password, User
from app.kit import audit, idempotency, outbox
from app.kit.actor import Actor, Role
from app.kit.database import Database
from app.kit.models import now

EraseListener = Callable[[Session, str], None]
Exporter = Callable[[Session, str], object]

ERASED_NAME = "Erased user"
UNUSABLE = "!"
"""Stands for a password that nobody has: no hash looks like this."""
EXPORTED_SESSIONS = 1000


class Privacy:
    """Export and erasure."""

    def __init__(self, *, database: Database, roles: Roles, guard: Guard) -> None:
        self._database = database
        self._roles = roles
        self._guard = guard
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
        for listener in self.listeners:
            listener(session, account_id)
        account.email = f"erased-{account_id}@erased.invalid"
        account.full_name, account.phone, account.email_verified_at = ERASED_NAME, None, None
        account.password_hash = UNUSABLE
        account.erased_at = now()
        self._roles.set(session, account, Role(account.role), is_active=False, actor_id=account_id)
        people.index(session, account)
        codes.revoke(session, account_id)
        # Their refresh tokens go with them: the foreign key cascades.
        session.execute(delete(LoginSession).where(col(LoginSession.account_id) == account_id))
        idempotency.forget(session, account_id)
        outbox.forget(session, account_id)
        audit.record(session, "account.erased", actor_id=account_id, subject_id=account_id)
