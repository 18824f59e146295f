"""HTTP routes of registration and login, and the list of all routers of the accounts."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response, status
from fastapi.responses import JSONResponse

from app.accounts import routes_me, routes_recovery, routes_users
from app.accounts.dependencies import AUTHENTICATED_PROBLEMS, COMMON_PROBLEMS, CurrentUser, RequestDevice
from app.accounts.problems import EmailNotVerified, EmailTaken, InvalidCredentials, InvalidRefreshToken
from app.accounts.schemas import Credentials, Refresh, Registration, TokenForm, TokenPair, User, VerificationSent
from app.kit.body import StrictRoute
from app.kit.conditional import set_etag
from app.kit.idempotency import KEYED, InAttempt
from app.kit.problems import PayloadTooLarge, ValidationFailed, responses
from app.services import ServicesDep, client_address

BODY_PROBLEMS = (PayloadTooLarge, ValidationFailed)

auth = APIRouter(prefix="/api/v1/auth", tags=["auth"], route_class=StrictRoute)


@auth.post(
    "/register",
    summary="Register",
    operation_id="register",
    status_code=status.HTTP_201_CREATED,
    response_model=User,
    responses={
        status.HTTP_202_ACCEPTED: {
            "model": VerificationSent,
            "description": "A message was sent to the address. The answer is the same for new and for known addresses",
        },
        **responses(EmailTaken, *KEYED, *BODY_PROBLEMS, *COMMON_PROBLEMS),
    },
)
async def register(
    registration: Registration, request: Request, response: Response, services: ServicesDep, attempt: InAttempt
) -> User | JSONResponse:
    """Create an account.

    If the service requires verified addresses, it sends a code and answers 202, also for an address that is taken.
    """
    account = await services.accounts.register(registration, attempt, client_address(request))
    if account is None:
        sent = VerificationSent().model_dump()
        return JSONResponse(sent, status.HTTP_202_ACCEPTED, headers=dict(response.headers))
    response.headers["Location"] = f"/api/v1/users/{account.id}"
    set_etag(response, account.version)
    return User.model_validate(account)


@auth.post(
    "/login",
    summary="Log in",
    operation_id="login",
    responses=responses(InvalidCredentials, EmailNotVerified, *BODY_PROBLEMS, *COMMON_PROBLEMS),
)
async def login(credentials: Credentials, services: ServicesDep, device: RequestDevice) -> TokenPair:
    """Exchange an e-mail address and a password for an access token and a refresh token."""
    return await services.accounts.sessions.log_in(credentials.email, credentials.password, device)


@auth.post(
    "/token",
    summary="Log in with a form",
    operation_id="login_form",
    responses=responses(InvalidCredentials, EmailNotVerified, *BODY_PROBLEMS, *COMMON_PROBLEMS),
)
async def login_form(form: Annotated[TokenForm, Form()], services: ServicesDep, device: RequestDevice) -> TokenPair:
    """Log in with the OAuth2 password grant, as the documentation page does."""
    return await services.accounts.sessions.log_in(form.username, form.password, device)


@auth.post(
    "/refresh",
    summary="Refresh a session",
    operation_id="refresh",
    responses=responses(InvalidRefreshToken, *BODY_PROBLEMS, *COMMON_PROBLEMS),
)
async def refresh(body: Refresh, services: ServicesDep) -> TokenPair:
    """Exchange a refresh token for a new pair of tokens.

    The same refresh token returns the same pair for 30 seconds after its first use, so that a client can repeat a
    request without an answer and two tabs can refresh at once. A later use means a stolen token and ends the session.
    """
    return await services.accounts.sessions.refresh(body.refresh_token)


@auth.post(
    "/logout",
    summary="Log out",
    operation_id="logout",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(*AUTHENTICATED_PROBLEMS),
)
async def logout(actor: CurrentUser, services: ServicesDep) -> None:
    """End this session. Its access token and its refresh token become invalid at once."""
    await services.accounts.sessions.log_out(actor)


@auth.post(
    "/logout-everywhere",
    summary="Log out everywhere",
    operation_id="logout_everywhere",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(*AUTHENTICATED_PROBLEMS),
)
async def logout_everywhere(actor: CurrentUser, services: ServicesDep) -> None:
    """End all sessions of the user, including this one."""
    await services.accounts.sessions.log_out_everywhere(actor)


routers = (auth, routes_recovery.router, routes_me.router, routes_users.router)
