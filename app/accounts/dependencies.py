"""Dependencies that say who sends the request, and whether that role may."""

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
from app.services import Services, address

ALWAYS: tuple[type[Problem], ...] = (TooManyRequests, Overloaded, DatabaseUnavailable, DeadlineExceeded)
"""What every operation can answer with."""
SIGNED_IN: tuple[type[Problem], ...] = (InvalidToken, *ALWAYS)
"""What every operation of a signed-in person can answer with."""
BY_ROLE: tuple[type[Problem], ...] = (Forbidden, *SIGNED_IN)
"""What every operation of certain roles can answer with."""


class Bearer(SecurityBase):
    """Dependency: what a good access token says, whether or not its session goes on.

    It is the security scheme of the documents at the same time: each step of a chain of dependencies costs a
    request more than looking up the session does.
    """

    def __init__(self) -> None:
        self.scheme_name = "AccessToken"
        self.model = OAuth2(
            flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="/api/v1/auth/token")),
            description="The access token of a login, sent as `Authorization: Bearer …`",
        )

    async def __call__(self, request: Request) -> Claims:
        """Read the token.

        Raises:
            InvalidToken: there is no good one.
            TooManyRequests: the account has sent too many.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken
        services: Services = request.app.state.services
        claims = services.tokens.read(token.strip())
        services.throttles.by_account(request.scope, claims.account_id)
        return claims


bearer = Bearer()
"""For routes without dependencies, whose reads go through `Sessions.read_as`."""
IN_SESSION: dict[str, Any] = {"security": [{bearer.scheme_name: []}]}
"""`openapi_extra` of these."""


class SignedIn(Bearer):
    """Dependency: whoever sends the request, if their role may."""

    def __init__(self, roles: Collection[Role] = frozenset(Role)) -> None:
        """Let these roles pass."""
        super().__init__()
        self._roles = frozenset(roles)

    @override
    async def __call__(self, request: Request) -> Actor:  # type: ignore[override]  # the next step from the claims
        """Say who it is.

        Raises:
            InvalidToken: nobody, or not any more.
            TooManyRequests: the account has sent too many.
            Forbidden: the role may not.
        """
        claims = await super().__call__(request)
        services: Services = request.app.state.services
        return await services.accounts.sessions.read_as(claims, self._roles, _nothing_else)


def _nothing_else(_: Session, actor: Actor) -> Actor:
    return actor


InActor = Annotated[Actor, Depends(SignedIn())]
InClient = Annotated[Actor, Depends(SignedIn({Role.CLIENT}))]
InOffice = Annotated[Actor, Depends(SignedIn(OFFICE))]
InAdmin = Annotated[Actor, Depends(SignedIn({Role.ADMIN}))]


USER_AGENT_LENGTH = 200
ADDRESS_LENGTH = 45


async def device(request: Request) -> Device:
    """Dependency: where the request comes from."""
    named = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
    return Device("".join(each for each in named if each.isprintable()), address(request)[:ADDRESS_LENGTH])


InDevice = Annotated[Device, Depends(device)]
