"""FastAPI dependencies that authenticate a request and check the role of the user."""

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from sqlmodel import Session
from typing_extensions import override

from app.accounts.sessions import Device
from app.kit.actor import OFFICE, Actor, Role
from app.kit.problems import DatabaseUnavailable, DeadlineExceeded, Forbidden, Overloaded, Problem, TooManyRequests
from app.kit.tokens import Claims, InvalidToken
from app.services import Services, client_address

COMMON_PROBLEMS: tuple[type[Problem], ...] = (TooManyRequests, Overloaded, DatabaseUnavailable, DeadlineExceeded)
"""Errors of every operation."""
AUTHENTICATED_PROBLEMS: tuple[type[Problem], ...] = (InvalidToken, *COMMON_PROBLEMS)
"""Errors of every operation that needs a signed-in user."""
ROLE_PROBLEMS: tuple[type[Problem], ...] = (Forbidden, *AUTHENTICATED_PROBLEMS)
"""Errors of every operation that needs a certain role."""


class BearerToken(SecurityBase):
    """Dependency: the claims of a valid access token. It does not check that the session is still active.

    It is also the security scheme of the OpenAPI document, because a second dependency would cost each request more
    time than the look-up of the session.
    """

    def __init__(self) -> None:
        self.scheme_name = "AccessToken"
        self.model = OAuth2(
            flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="/api/v1/auth/token")),
            description="The access token of a login, sent as `Authorization: Bearer …`",
        )

    async def __call__(self, request: Request) -> Claims:
        """Validate the token and count the request for the account's rate limit.

        Raises:
            InvalidToken: the token is missing or not valid.
            TooManyRequests: the account has reached its rate limit.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken
        services: Services = request.app.state.services
        claims = services.tokens.read(token.strip())
        services.throttles.by_account(request.scope, claims.account_id)
        return claims


bearer_token = BearerToken()
"""For routes without dependencies, which read with `Sessions.read_as`."""
AUTHENTICATED_OPERATION: dict[str, Any] = {"security": [{bearer_token.scheme_name: []}]}
"""`openapi_extra` of routes that call `bearer_token` themselves."""


class RequireRole(BearerToken):
    """Dependency: the signed-in user, if the user has one of the roles."""

    def __init__(self, roles: Collection[Role] = frozenset(Role)) -> None:
        super().__init__()
        self._roles = frozenset(roles)

    @override
    async def __call__(self, request: Request) -> Actor:  # type: ignore[override]  # returns more than the claims
        """Return the signed-in user.

        Raises:
            InvalidToken: the token is not valid, or its session has ended.
            TooManyRequests: the account has reached its rate limit.
            Forbidden: the user has another role.
        """
        claims = await super().__call__(request)
        services: Services = request.app.state.services
        return await services.accounts.sessions.read_as(claims, self._roles, _return_actor)


def _return_actor(_: Session, actor: Actor) -> Actor:
    return actor


CurrentUser = Annotated[Actor, Depends(RequireRole())]
CurrentClient = Annotated[Actor, Depends(RequireRole({Role.CLIENT}))]
CurrentOfficeUser = Annotated[Actor, Depends(RequireRole(OFFICE))]
CurrentAdmin = Annotated[Actor, Depends(RequireRole({Role.ADMIN}))]


USER_AGENT_LENGTH = 200
ADDRESS_LENGTH = 45


async def device(request: Request) -> Device:
    """Dependency: the device that sends the request."""
    user_agent = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
    return Device("".join(each for each in user_agent if each.isprintable()), client_address(request)[:ADDRESS_LENGTH])


RequestDevice = Annotated[Device, Depends(device)]
