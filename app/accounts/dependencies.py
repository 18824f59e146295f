"""Dependencies that say who sends the request, and whether that role may."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from app.accounts.sessions import Device
from app.kit.actor import OFFICE, Actor, Role
from app.kit.problems import DatabaseUnavailable, DeadlineExceeded, Forbidden, Overloaded, Problem, TooManyRequests
from app.kit.tokens import InvalidToken
from app.services import InServices, address

ALWAYS: tuple[type[Problem], ...] = (TooManyRequests, Overloaded, DatabaseUnavailable, DeadlineExceeded)
"""What every operation can answer with."""
SIGNED_IN: tuple[type[Problem], ...] = (InvalidToken, *ALWAYS)
"""What every operation of a signed-in person can answer with."""
BY_ROLE: tuple[type[Problem], ...] = (Forbidden, *SIGNED_IN)
"""What every operation of certain roles can answer with."""

bearer = OAuth2PasswordBearer(
    "/api/v1/auth/token", auto_error=False, description="The access token from the login, as `Authorization: Bearer …`"
)


async def current_actor(request: Request, services: InServices, token: Annotated[str | None, Depends(bearer)]) -> Actor:
    """Dependency: whoever sends the request.

    Raises:
        InvalidToken: nobody.
        TooManyRequests: the account has sent too many.
    """
    if token is None:
        raise InvalidToken
    actor = await services.accounts.sessions.authenticate(token)
    services.throttles.by_account(request.scope, actor.id)
    return actor


InActor = Annotated[Actor, Depends(current_actor)]


def _only(roles: frozenset[Role]) -> Callable[[Actor], Awaitable[Actor]]:
    async def permitted(actor: InActor) -> Actor:
        if actor.role not in roles:
            raise Forbidden
        return actor

    return permitted


InClient = Annotated[Actor, Depends(_only(frozenset({Role.CLIENT})))]
InOffice = Annotated[Actor, Depends(_only(OFFICE))]
InAdmin = Annotated[Actor, Depends(_only(frozenset({Role.ADMIN})))]


USER_AGENT_LENGTH = 200
ADDRESS_LENGTH = 45


async def device(request: Request) -> Device:
    """Dependency: where the request comes from."""
    named = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
    return Device("".join(each for each in named if each.isprintable()), address(request)[:ADDRESS_LENGTH])


InDevice = Annotated[Device, Depends(device)]
