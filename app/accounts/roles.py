"""Changes of roles, and activation and deactivation of accounts."""

from collections.abc import Callable

from sqlmodel import Session, select

from app.accounts import sessions
from app.accounts.models import UserAccount
from app.kit import audit
from app.kit.actor import Role
from app.kit.affected import AffectedVisit

RoleListener = Callable[[Session, str, Role, bool], list[AffectedVisit]]


class Roles:
    """Changes roles and activity of accounts, and notifies other features."""

    def __init__(self) -> None:
        self.listeners: list[RoleListener] = []

    def set(
        self, session: Session, account: UserAccount, role: Role, *, is_active: bool, actor_id: str | None
    ) -> list[AffectedVisit] | None:
        """Set the role and the activity of an account, record the change and call the listeners.

        Args:
            session: a session of a write transaction.
            account: the account to change.
            role: the new role.
            is_active: the new activity. Deactivation ends all sessions of the account.
            actor_id: the account that makes the change; None for the operator.

        Returns:
            The visits that have lost their cleaner because of the change; None if nothing has changed.
        """
        before = Role(account.role)
        if (before, account.is_active) == (role, is_active):
            return None
        if before != role:
            audit.record(
                session, "role.changed", actor_id=actor_id, subject_id=account.id, before=before.value, after=role.value
            )
        if account.is_active != is_active:
            action = "account.activated" if is_active else "account.deactivated"
            audit.record(session, action, actor_id=actor_id, subject_id=account.id)
        account.role, account.is_active = role.value, is_active
        account.version += 1
        session.flush()
        if not is_active:
            sessions.revoke(session, account.id)
        return [visit for listener in self.listeners for visit in listener(session, account.id, role, is_active)]


def is_last_admin(session: Session, account: UserAccount) -> bool:
    """Whether the account is the only active administrator."""
    others = select(UserAccount.id).where(
        UserAccount.role == Role.ADMIN, UserAccount.is_active, UserAccount.id != account.id
    )
    return is_admin(account) and session.exec(others.limit(1)).first() is None


def is_admin(account: UserAccount) -> bool:
    """Whether the account is an active administrator."""
    return account.is_active and account.role == Role.ADMIN
