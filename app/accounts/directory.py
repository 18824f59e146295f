"""Listing, reading and changing accounts, for the office and for administrators."""

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

SEARCH_LIMIT = 200
"""Maximum number of matches that a search returns, over all its pages."""


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """Conditions of a list of accounts. None means no condition."""

    role: Role | None = None
    is_active: bool | None = None
    q: str | None = None


class AccountDirectory:
    """The accounts of all users."""

    def __init__(self, *, database: Database, roles: Roles) -> None:
        self._database = database
        self._roles = roles

    async def page(self, filters: AccountFilters, paging: Paging) -> tuple[list[UserAccount], str | None]:
        """Return one page of the matching accounts, oldest first, and the cursor of the next page.

        Raises:
            ValidationFailed: the cursor is not valid for this list.
        """
        return await self._database.read(lambda session: _page(session, filters, paging))

    async def account(self, account_id: str) -> UserAccount:
        """Return an account.

        Raises:
            NotFound: the account does not exist.
        """
        return await self._database.read(lambda session: _get(session, account_id))

    async def change(
        self, actor: Actor, account_id: str, change: AccountChange, expected: Expected
    ) -> tuple[UserAccount, list[AffectedVisit]]:
        """Change the role of an account, deactivate it (which ends its sessions), or activate it again.

        Returns:
            The account, and the visits that have lost their cleaner because of the change.

        Raises:
            NotFound: the account does not exist.
            PreconditionFailed: the account has another version than `expected`.
            AccountErased: the account has been erased.
            LastAdmin: the actor would demote or deactivate themselves.
            Forbidden: the actor is no longer an administrator.
        """

        def work(session: Session) -> tuple[UserAccount, list[AffectedVisit]]:
            # Checked again within the transaction: if two administrators demote each other, only one may succeed.
            if not is_admin(session.get_one(UserAccount, actor.id)):
                raise Forbidden
            account = _get(session, account_id)
            expected.check(account)
            if account.erased_at is not None:
                raise AccountErased
            changes = change.model_dump(exclude_unset=True)
            role, is_active = changes.get("role", account.role), changes.get("is_active", account.is_active)
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


def _page(session: Session, filters: AccountFilters, paging: Paging) -> tuple[list[UserAccount], str | None]:
    query = select(UserAccount)
    if filters.role is not None:
        query = query.where(UserAccount.role == filters.role)
    if filters.is_active is not None:
        query = query.where(col(UserAccount.is_active) == filters.is_active)
    if filters.q is not None:
        query = query.where(col(UserAccount.id).in_(people.search(session, filters.q, SEARCH_LIMIT)))
    columns: Any = (col(UserAccount.created_at), col(UserAccount.id))
    return paging.page(session, query, columns, lambda account: (account.created_at, account.id))
