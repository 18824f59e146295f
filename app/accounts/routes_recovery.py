"""HTTP routes for codes that are sent by e-mail."""

from fastapi import APIRouter, Request, status

from app.accounts.dependencies import COMMON_PROBLEMS
from app.accounts.problems import EmailTaken, InvalidCode, MailDisabled
from app.accounts.schemas import CodeOnly, EmailOnly, MessageSent, PasswordReset
from app.kit.body import StrictRoute
from app.kit.problems import PayloadTooLarge, Problem, ValidationFailed, responses
from app.services import ServicesDep, client_address

PUBLIC_BODY_PROBLEMS: tuple[type[Problem], ...] = (PayloadTooLarge, ValidationFailed, *COMMON_PROBLEMS)

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], route_class=StrictRoute)


@router.post(
    "/email/verify",
    summary="Verify an e-mail address",
    operation_id="verify_email",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(InvalidCode, EmailTaken, *PUBLIC_BODY_PROBLEMS),
)
async def verify_email(body: CodeOnly, services: ServicesDep) -> None:
    """Confirm the registered address, or the new address after a change, with the code that was sent to it."""
    await services.accounts.recovery.verify(body.token)


@router.post(
    "/email/resend",
    summary="Resend the verification code",
    operation_id="resend_verification",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(MailDisabled, *PUBLIC_BODY_PROBLEMS),
)
async def resend_verification(body: EmailOnly, request: Request, services: ServicesDep) -> MessageSent:
    """Send a new code if the address belongs to an unverified account. The answer is the same for any address."""
    await services.accounts.recovery.send_verification(body.email, client_address(request))
    return MessageSent()


@router.post(
    "/password/forgot",
    summary="Request a password reset",
    operation_id="forgot_password",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(MailDisabled, *PUBLIC_BODY_PROBLEMS),
)
async def forgot_password(body: EmailOnly, request: Request, services: ServicesDep) -> MessageSent:
    """Send a reset code if the address belongs to an account. The answer is the same for any address."""
    await services.accounts.recovery.send_reset(body.email, client_address(request))
    return MessageSent()


@router.post(
    "/password/reset",
    summary="Reset the password",
    operation_id="reset_password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(InvalidCode, *PUBLIC_BODY_PROBLEMS),
)
async def reset_password(body: PasswordReset, services: ServicesDep) -> None:
    """Set a new password with the code that was sent by e-mail, and end all sessions of the user."""
    await services.accounts.recovery.reset_password(body.token, body.new_password)
