"""HTTP routes of the accounts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.accounts.models import UserAccount
from app.accounts.problems import EmailTaken, InvalidCredentials
from app.accounts.schemas import AccessToken, Credentials, Registration, User
from app.kit.problems import (
    DatabaseUnavailable,
    DeadlineExceeded,
    Overloaded,
    PayloadTooLarge,
    TooManyRequests,
    ValidationFailed,
    responses,
)
from app.kit.tokens import InvalidToken
from app.services import InServices, address

ALWAYS = (Overloaded, DatabaseUnavailable, DeadlineExceeded)
WITH_BODY = (PayloadTooLarge, ValidationFailed, TooManyRequests)

auth = APIRouter(prefix="/api/v1/auth", tags=["auth"])
users = APIRouter(prefix="/api/v1/users", tags=["users"])
bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="The access token from the login")


async def current_user(
    services: InServices, token: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> UserAccount:
    """Dependency: the account of whoever sends the request.

    Raises:
        InvalidToken: nobody's.
    """
    if token is None:
        raise InvalidToken
    return await services.accounts.signed_in(token.credentials)


CurrentUser = Annotated[UserAccount, Depends(current_user)]


@auth.post(
    "/register",
    summary="Register",
    operation_id="register",
    status_code=status.HTTP_201_CREATED,
    responses=responses(EmailTaken, *WITH_BODY, *ALWAYS),
)
async def register(registration: Registration, request: Request, services: InServices) -> User:
    """Create an account. The e-mail address must not have one yet."""
    return User.model_validate(await services.accounts.register(registration, address(request)))


@auth.post(
    "/login",
    summary="Log in",
    operation_id="login",
    responses=responses(InvalidCredentials, *WITH_BODY, *ALWAYS),
)
async def login(credentials: Credentials, request: Request, services: InServices) -> AccessToken:
    """Exchange e-mail address and password for an access token."""
    token = await services.accounts.log_in(credentials, address(request))
    return AccessToken(access_token=token, expires_in=services.tokens.lifetime)


@users.get("/me", summary="Who am I", operation_id="read_me", responses=responses(InvalidToken, *ALWAYS))
async def read_me(user: CurrentUser) -> User:
    """The signed-in user."""
    return User.model_validate(user)
