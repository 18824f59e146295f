"""HTTP routes that show accounts to the office, and let administrators change them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.accounts.dependencies import ROLE_PROBLEMS, CurrentAdmin, CurrentOfficeUser
from app.accounts.directory import AccountFilters
from app.accounts.problems import AccountErased, LastAdmin
from app.accounts.schemas import AccountChange, ChangedUser, SearchText, User
from app.catalog.schemas import Identifier
from app.kit.actor import Role
from app.kit.body import StrictRoute
from app.kit.conditional import CONFLICTS, InExpected, set_etag
from app.kit.pagination import InPage, Page
from app.kit.problems import NotFound, PayloadTooLarge, ValidationFailed, responses
from app.services import ServicesDep

router = APIRouter(prefix="/api/v1/users", tags=["users"], route_class=StrictRoute)


@router.get(
    "",
    summary="List accounts",
    operation_id="list_users",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def list_users(
    _: CurrentOfficeUser,
    services: ServicesDep,
    page: InPage,
    role: Annotated[Role | None, Query(description="Only accounts with this role")] = None,
    is_active: Annotated[bool | None, Query(description="Only active accounts, or only inactive ones")] = None,
    q: Annotated[
        SearchText | None,
        Query(description="Beginnings of words in names, e-mail addresses and phone numbers", examples=["anna pe"]),
    ] = None,
) -> Page[User]:
    """List accounts, oldest first. A search with `q` returns at most 200 matches."""
    rows, cursor = await services.accounts.directory.page(AccountFilters(role, is_active, q), page)
    return Page(items=[User.model_validate(row) for row in rows], next_cursor=cursor)


@router.get(
    "/{user_id}",
    summary="Read an account",
    operation_id="read_user",
    responses=responses(NotFound, ValidationFailed, *ROLE_PROBLEMS),
)
async def read_user(user_id: Identifier, _: CurrentOfficeUser, services: ServicesDep, response: Response) -> User:
    """Return one account."""
    account = await services.accounts.directory.account(user_id)
    set_etag(response, account.version)
    return User.model_validate(account)


@router.patch(
    "/{user_id}",
    summary="Change an account",
    operation_id="change_user",
    responses=responses(
        NotFound, LastAdmin, AccountErased, *CONFLICTS, PayloadTooLarge, ValidationFailed, *ROLE_PROBLEMS
    ),
)
async def change_user(  # noqa: PLR0913  # the arguments that FastAPI injects
    *,
    user_id: Identifier,
    change: AccountChange,
    actor: CurrentAdmin,
    services: ServicesDep,
    expected: InExpected,
    response: Response,
) -> ChangedUser:
    """Change the role of an account, deactivate it, or activate it again. Deactivation ends all its sessions.

    An account that stops being an active cleaner loses its future visits, but keeps a visit in progress. Automatic
    assignment gives each visit to another free cleaner. A visit without a free cleaner returns to `confirmed`.
    """
    account, affected = await services.accounts.directory.change(actor, user_id, change, expected)
    set_etag(response, account.version)
    return ChangedUser(**User.model_validate(account).model_dump(), affected_visits=affected)
