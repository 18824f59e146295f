"""Who may do what: the one place where a role changes, or an account is switched off."""

from collections.abc import Callable

from sqlmodel import Session, select

from app.accounts import sessions
from app.accounts.models import UserAccount
from app.kit import audit
from app.kit.actor import Role
from app.kit.affected import AffectedVisit

RoleListener = Callable[[Session, str, Role, bool], list[AffectedVisit]]


class Roles:
    """Changes roles, and tells other features."""

    def __init__(self) -> None:
        self.listeners: list[RoleListener] = []

    def set(
        self, session: Session, account: UserAccount, role: Role, *, is_active: bool, actor_id: str | None
    ) -> list[AffectedVisit] | None:
        """Set role and activity, with all that follows from it.

        Args:
            session: to write with.
            account: whose.
            role: the account's from now on.
            is_active: whether it can be used from now on.
            actor_id: who does it, None for the operator.

        Returns:
            The visits that have lost their cleaner by it; None: nothing has changed.
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
    """Whether nobody else could administer the company."""
    others = select(UserAccount.id).where(
        UserAccount.role == Role.ADMIN, UserAccount.is_active, UserAccount.id != account.id
    )
    return is_admin(account) and session.exec(others.limit(1)).first() is None


def is_admin(account: UserAccount) -> bool:
    """Whether the account can administer the company."""
    return account.is_active and account.role == Role.ADMIN
