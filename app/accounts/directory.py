"""Accounts as the office sees them, and what administrators change."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from app.accounts import people
from app.accounts.models import UserAccount
from app.accounts.problems import AccountErased, LastAdmin
from app.accounts.roles import Roles, is_admin
from app.accounts.schemas import AccountChange
from app.kit.actor import Actor, Role
from app.kit.affected import AffectedVisit
from app.kit.conditional import Expected
from app.kit.database import Database
from app.kit.pagination import Paging
from app.kit.problems import Forbidden, NotFound

MATCHES = 200
"""Of a search, from which the pages are made; who gets more has to ask more precisely."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which accounts are wanted; None for any."""

    role: Role | None = None
    is_active: bool | None = None
    q: str | None = None


class Directory:
    """All accounts."""

    def __init__(self, *, database: Database, roles: Roles) -> None:
        self._database = database
        self._roles = roles

    async def page(self, filters: Filters, paging: Paging) -> tuple[list[UserAccount], str | None]:
        """One page of the accounts wanted, the oldest first.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        return await self._database.read(lambda session: _page(session, filters, paging))

    async def account(self, account_id: str) -> UserAccount:
        """Any account.

        Raises:
            NotFound: there is none.
        """
        return await self._database.read(lambda session: _get(session, account_id))

    async def change(
        self, actor: Actor, account_id: str, change: AccountChange, expected: Expected
    ) -> tuple[UserAccount, list[AffectedVisit]]:
        """Give an account another role, deactivate it (which ends its sessions), or activate it again.

        Returns:
            The account, and the visits that have lost their cleaner by it.

        Raises:
            NotFound: there is none.
            PreconditionFailed: it has changed meanwhile.
            AccountErased: it has been erased.
            LastAdmin: administrators cannot do this to themselves.
            Forbidden: the actor has ceased to be an administrator meanwhile.
        """

        def work(session: Session) -> tuple[UserAccount, list[AffectedVisit]]:
            # Again, in the transaction: of two administrators who demote each other one must remain.
            if not is_admin(session.get_one(UserAccount, actor.id)):
                raise Forbidden
            account = _get(session, account_id)
            expected.check(account)
            if account.erased_at is not None:
                raise AccountErased
            wanted = change.model_dump(exclude_unset=True)
            role, is_active = wanted.get("role", account.role), wanted.get("is_active", account.is_active)
            if account.id == actor.id and (role != Role.ADMIN or not is_active):
                raise LastAdmin
            affected = self._roles.set(session, account, Role(role), is_active=is_active, actor_id=actor.id)
            return account, affected or []

        return await self._database.write(work)


def _get(session: Session, account_id: str) -> UserAccount:
    account = session.get(UserAccount, account_id)
    if account is None:
        raise NotFound
    return account


def _page(session: Session, filters: Filters, paging: Paging) -> tuple[list[UserAccount], str | None]:
    query = select(UserAccount)
    if filters.role is not None:
        query = query.where(UserAccount.role == filters.role)
    if filters.is_active is not None:
        query = query.where(col(UserAccount.is_active) == filters.is_active)
    if filters.q is not None:
        query = query.where(col(UserAccount.id).in_(people.find(session, filters.q, MATCHES)))
    columns: Any = (col(UserAccount.created_at), col(UserAccount.id))
    return paging.page(session, query, columns, lambda account: (account.created_at, account.id))
