"""HTTP routes of the office."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from app.accounts.dependencies import ROLE_PROBLEMS, CurrentAdmin, CurrentOfficeUser
from app.accounts.schemas import SearchText
from app.bookings.dependencies import FilterParameters
from app.bookings.schemas import Booking
from app.catalog.schemas import Identifier
from app.kit.body import StrictRoute
from app.kit.models import now
from app.kit.outbox import NotificationState
from app.kit.pagination import InPage, Page
from app.kit.problems import FieldError, NotFound, ValidationFailed, responses
from app.office.problems import NotDead
from app.office.schemas import AuditEntry, CleanerDay, Figures, Message
from app.services import ServicesDep
from app.staff.schemas import Day

LONGEST_PERIOD = timedelta(days=366)
MAXIMUM_ACTIONS = 20

router = APIRouter(prefix="/api/v1/office", tags=["office"], route_class=StrictRoute)


@router.get(
    "/bookings",
    summary="List and search all bookings",
    operation_id="list_bookings",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def list_bookings(  # noqa: PLR0913, PLR0917  # one parameter for each part of the request
    _: CurrentOfficeUser,
    services: ServicesDep,
    page: InPage,
    filters: FilterParameters,
    cleaner_id: Annotated[Identifier | None, Query(description="Only bookings of this cleaner")] = None,
    client_id: Annotated[Identifier | None, Query(description="Only bookings of this client")] = None,
    cover: Annotated[
        Literal["missing"] | None,
        Query(description="`missing`: only requested or confirmed bookings that have no cleaner and have not ended"),
    ] = None,
    q: Annotated[
        SearchText | None,
        Query(
            description="A booking reference, or word prefixes of the client's name, e-mail address or phone number",
            examples=["petrova"],
        ),
    ] = None,
) -> Page[Booking]:
    """List the bookings of all clients, latest visits first."""
    selection = replace(
        filters,
        cleaner_id=cleaner_id,
        client_ids=None if client_id is None else [client_id],
        uncovered_at=None if cover is None else now(),
    )
    return await services.office.bookings(selection, q, page)


@router.get(
    "/schedule",
    summary="Read a day's schedule",
    operation_id="read_schedule",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def read_schedule(
    _: CurrentOfficeUser,
    services: ServicesDep,
    page: InPage,
    date: Annotated[Day, Query(description="Day in the company's time zone", examples=["2026-12-01"])],
) -> Page[CleanerDay]:
    """List all cleaners with their visits on the given day."""
    return await services.office.schedule(date, page)


@router.get(
    "/figures",
    summary="Read key figures",
    operation_id="read_figures",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def read_figures(
    _: CurrentOfficeUser,
    services: ServicesDep,
    first: Annotated[Day, Query(alias="from", description="First day", examples=["2026-12-01"])],
    last: Annotated[Day, Query(alias="to", description="Last day, at most 365 days later", examples=["2026-12-31"])],
) -> Figures:
    """Return the bookings, revenue and cancellations of a period, and each cleaner's workload."""
    if not timedelta(0) <= last - first < LONGEST_PERIOD:
        wrong = FieldError(location="query", field="to", code="period", message="Must be 0 to 365 days after `from`")
        raise ValidationFailed(errors=[wrong])
    return await services.office.figures(first, last)


@router.get(
    "/notifications",
    summary="List notifications",
    operation_id="list_notifications",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def list_notifications(
    _: CurrentOfficeUser,
    services: ServicesDep,
    page: InPage,
    state: Annotated[
        list[NotificationState],
        Query(default_factory=lambda: [NotificationState.DEAD], description="Only these states; `dead` if omitted"),
    ],
) -> Page[Message]:
    """List the notifications in the given states, newest first."""
    return await services.office.messages(state, page)


@router.post(
    "/notifications/{message_id}/retry",
    summary="Send a dead letter again",
    operation_id="retry_notification",
    responses=responses(NotFound, NotDead, ValidationFailed, *ROLE_PROBLEMS),
)
async def retry_notification(message_id: Identifier, actor: CurrentOfficeUser, services: ServicesDep) -> Message:
    """Reset the attempts of a permanently failed notification and send it again."""
    return await services.office.retry_message(actor, message_id)


@router.get(
    "/audit",
    summary="Read the audit log",
    operation_id="read_audit_log",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def read_audit_log(
    _: CurrentAdmin,
    services: ServicesDep,
    page: InPage,
    actor_id: Annotated[Identifier | None, Query(description="Only actions by this account")] = None,
    subject_id: Annotated[Identifier | None, Query(description="Only actions on this object")] = None,
    *,
    action: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[a-z_.]{1,50}$")]],
        Query(
            default_factory=list,
            max_length=MAXIMUM_ACTIONS,
            description="Only these actions; all if omitted",
            examples=[["role.changed"]],
        ),
    ],
) -> Page[AuditEntry]:
    """List logins and changes of roles, bookings and the catalogue, newest first."""
    return await services.office.audit(actor_id, subject_id, action, page)
