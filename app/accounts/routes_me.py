"""HTTP routes of the signed-in user."""

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import JSONResponse

from app.accounts.dependencies import AUTHENTICATED_OPERATION, AUTHENTICATED_PROBLEMS, CurrentUser, bearer_token
from app.accounts.problems import EmailTaken, LastAdmin, WrongPassword
from app.accounts.schemas import (
    EmailChange,
    Erasure,
    Export,
    Login,
    PasswordChange,
    ProfileChange,
    User,
    VerificationSent,
)
from app.catalog.schemas import Identifier
from app.kit.actor import Role
from app.kit.body import StrictRoute
from app.kit.conditional import CONFLICTS, InExpected, set_etag
from app.kit.pagination import InPage, Page
from app.kit.problems import NotFound, PayloadTooLarge, ValidationFailed, responses
from app.services import Services, ServicesDep

BODY_PROBLEMS = (PayloadTooLarge, ValidationFailed)
FILE_HEADERS = {"Content-Disposition": {"description": "Suggested file name", "schema": {"type": "string"}}}

router = APIRouter(prefix="/api/v1/users/me", tags=["users"], route_class=StrictRoute)


@router.get(
    "",
    summary="Read my profile",
    operation_id="read_me",
    response_model=User,
    responses=responses(*AUTHENTICATED_PROBLEMS),
    openapi_extra=AUTHENTICATED_OPERATION,
)
async def read_me(request: Request) -> Response:
    """Return the signed-in user."""
    claims = await bearer_token(request)
    services: Services = request.app.state.services
    account = await services.accounts.sessions.read_as(claims, frozenset(Role), services.accounts.account)
    answer = Response(User.model_validate(account).model_dump_json(), media_type="application/json")
    set_etag(answer, account.version)
    return answer


@router.patch(
    "",
    summary="Change my profile",
    operation_id="change_me",
    responses=responses(*CONFLICTS, *BODY_PROBLEMS, *AUTHENTICATED_PROBLEMS),
)
async def change_me(
    change: ProfileChange, actor: CurrentUser, services: ServicesDep, expected: InExpected, response: Response
) -> User:
    """Change the name, phone number or language of the signed-in user."""
    account = await services.accounts.change_profile(actor, change, expected)
    set_etag(response, account.version)
    return User.model_validate(account)


@router.post(
    "/password",
    summary="Change my password",
    operation_id="change_password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(WrongPassword, *BODY_PROBLEMS, *AUTHENTICATED_PROBLEMS),
)
async def change_password(change: PasswordChange, actor: CurrentUser, services: ServicesDep) -> None:
    """Set a new password and end all other sessions of the user."""
    await services.accounts.recovery.change_password(actor, change.current_password, change.new_password)


@router.post(
    "/email",
    summary="Change my e-mail address",
    operation_id="change_email",
    response_model=User,
    responses={
        status.HTTP_202_ACCEPTED: {
            "model": VerificationSent,
            "description": "A code was sent to the new address. The change takes effect when the code is confirmed",
        },
        **responses(WrongPassword, EmailTaken, *BODY_PROBLEMS, *AUTHENTICATED_PROBLEMS),
    },
)
async def change_email(
    change: EmailChange, actor: CurrentUser, services: ServicesDep, response: Response
) -> User | JSONResponse:
    """Change the e-mail address.

    The service sends a code to the new address and changes it when the code is confirmed. A service that sends no
    e-mail changes the address at once.
    """
    account = await services.accounts.recovery.change_email(actor, change.current_password, change.new_email)
    if account is None:
        return JSONResponse(VerificationSent().model_dump(), status.HTTP_202_ACCEPTED)
    set_etag(response, account.version)
    return User.model_validate(account)


@router.post(
    "/erase",
    summary="Erase my account",
    operation_id="erase_me",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(WrongPassword, LastAdmin, *BODY_PROBLEMS, *AUTHENTICATED_PROBLEMS),
)
async def erase_me(confirmation: Erasure, actor: CurrentUser, services: ServicesDep) -> None:
    """Delete all personal data of the user permanently. Past visits stay as anonymous records."""
    await services.accounts.privacy.erase(actor, confirmation.current_password)


@router.get(
    "/export",
    summary="Export my data",
    operation_id="export_me",
    responses={status.HTTP_200_OK: {"headers": FILE_HEADERS}, **responses(*AUTHENTICATED_PROBLEMS)},
)
async def export_me(actor: CurrentUser, services: ServicesDep, response: Response) -> Export:
    """Return all data stored about the signed-in user."""
    response.headers["Content-Disposition"] = 'attachment; filename="export.json"'
    return await services.accounts.privacy.export(actor)


@router.get(
    "/sessions",
    summary="List my sessions",
    operation_id="list_sessions",
    responses=responses(ValidationFailed, *AUTHENTICATED_PROBLEMS),
)
async def list_sessions(actor: CurrentUser, services: ServicesDep, page: InPage) -> Page[Login]:
    """Return the active sessions of the user, newest first."""
    return await services.accounts.sessions.list_own(actor, page)


@router.delete(
    "/sessions/{session_id}",
    summary="End one of my sessions",
    operation_id="end_session",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotFound, ValidationFailed, *AUTHENTICATED_PROBLEMS),
)
async def end_session(session_id: Identifier, actor: CurrentUser, services: ServicesDep) -> None:
    """End one session of the user, for example on a lost device."""
    await services.accounts.sessions.end(actor, session_id)
