"""HTTP routes of the office."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from app.accounts.dependencies import ROLE_PROBLEMS, CurrentAdmin, CurrentOfficeUser
from app.accounts.schemas import SearchText
from app.bookings.dependencies import InFilters
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
async def list_bookings(  # noqa: PLR0913, PLR0917  # each is a part of the request
    _: CurrentOfficeUser,
    services: ServicesDep,
    page: InPage,
    filters: InFilters,
    cleaner_id: Annotated[Identifier | None, Query(description="Only this cleaner's")] = None,
    client_id: Annotated[Identifier | None, Query(description="Only this client's")] = None,
    cover: Annotated[
        Literal["missing"] | None,
        Query(
            description="`missing`: only visits that need a cleaner and have none: requested or confirmed, not over yet"
        ),
    ] = None,
    q: Annotated[
        SearchText | None,
        Query(
            description="The reference, or beginnings of words of the client's name, e-mail address or phone",
            examples=["petrova"],
        ),
    ] = None,
) -> Page[Booking]:
    """Anybody's bookings, the latest visits first."""
    wanted = replace(
        filters,
        cleaner_id=cleaner_id,
        client_ids=None if client_id is None else [client_id],
        uncovered_at=None if cover is None else now(),
    )
    return await services.office.bookings(wanted, q, page)


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
    date: Annotated[Day, Query(description="In the company's time zone", examples=["2026-12-01"])],
) -> Page[CleanerDay]:
    """Each cleaner with the visits of the day."""
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
    last: Annotated[Day, Query(alias="to", description="Last day, at most a year later", examples=["2026-12-31"])],
) -> Figures:
    """Bookings, revenue, cancellations and the load of each cleaner in a period."""
    if not timedelta(0) <= last - first < LONGEST_PERIOD:
        wrong = FieldError(location="query", field="to", code="period", message="From `from` to at most 366 days later")
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
        Query(default_factory=lambda: [NotificationState.DEAD], description="One of these; `dead` when left out"),
    ],
) -> Page[Message]:
    """Notifications in one of these states, the newest first."""
    return await services.office.messages(state, page)


@router.post(
    "/notifications/{message_id}/retry",
    summary="Send a dead letter again",
    operation_id="retry_notification",
    responses=responses(NotFound, NotDead, ValidationFailed, *ROLE_PROBLEMS),
)
async def retry_notification(message_id: Identifier, actor: CurrentOfficeUser, services: ServicesDep) -> Message:
    """Give a notification that has failed for good all its attempts again."""
    return await services.office.send_again(actor, message_id)


@router.get(
    "/audit",
    summary="Read the audit log",
    operation_id="read_audit_log",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def read_audit_log(  # each is a part of the request
    _: CurrentAdmin,
    services: ServicesDep,
    page: InPage,
    actor_id: Annotated[Identifier | None, Query(description="Who did it")] = None,
    subject_id: Annotated[Identifier | None, Query(description="What it was done to")] = None,
    *,
    action: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[a-z_.]{1,50}$")]],
        Query(
            default_factory=list,
            max_length=MAXIMUM_ACTIONS,
            description="What was done: one of these; anything when left out",
            examples=[["role.changed"]],
        ),
    ],
) -> Page[AuditEntry]:
    """Log-ins, changes of roles, bookings and the catalogue; the newest first."""
    return await services.office.audit(actor_id, subject_id, action, page)
