"""HTTP routes of cleaners, working hours, days off and available times."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response, status

from app.accounts.dependencies import COMMON_PROBLEMS, ROLE_PROBLEMS, CurrentOfficeUser, RequireRole
from app.catalog.schemas import Identifier
from app.kit.actor import OFFICE, Actor, Role
from app.kit.body import StrictRoute
from app.kit.conditional import CONFLICTS, InExpected, set_etag
from app.kit.idempotency import KEYED, InAttempt
from app.kit.pagination import InPage, Page
from app.kit.problems import NotFound, PayloadTooLarge, Problem, ValidationFailed, responses
from app.services import ServicesDep
from app.staff.models import SLOT_MINUTES
from app.staff.problems import DuplicateDayOff
from app.staff.schemas import (
    MAXIMUM_DAYS,
    MAXIMUM_DURATION,
    Availability,
    ChangedWeek,
    CleanerView,
    Day,
    DayOffRequest,
    DayOffView,
    NewDayOff,
    VisitAddress,
    Week,
    WeekChange,
)

BODY_PROBLEMS = (PayloadTooLarge, ValidationFailed)
CLEANER_PROBLEMS: tuple[type[Problem], ...] = (NotFound, *ROLE_PROBLEMS)

router = APIRouter(prefix="/api/v1", tags=["staff"], route_class=StrictRoute)


CurrentStaff = Annotated[Actor, Depends(RequireRole({Role.CLEANER, *OFFICE}))]
"""A cleaner or a member of the office."""


@router.get(
    "/availability",
    summary="List available times",
    operation_id="read_availability",
    responses=responses(ValidationFailed, *COMMON_PROBLEMS),
)
async def read_availability(
    services: ServicesDep,
    date: Annotated[Day, Query(description="The first day, in the company's time zone")],
    duration_minutes: Annotated[
        int,
        Query(
            ge=SLOT_MINUTES,
            le=MAXIMUM_DURATION,
            multiple_of=SLOT_MINUTES,
            description="Duration of the visit, as in the quote",
            examples=[150],
        ),
    ],
    days: Annotated[int, Query(ge=1, le=MAXIMUM_DAYS, description="Number of days")] = 1,
    address: Annotated[
        VisitAddress | None,
        Query(
            description="Address of the visit. A cleaner needs no travel time between visits at the same address. "
            "Without an address, travel time is reserved before and after every other visit",
        ),
    ] = None,
) -> Availability:
    """Return all times at which a visit of this duration can begin, and the number of free cleaners for each.

    A cleaner needs travel time between visits at different addresses. Times before the minimum notice and after the
    booking horizon of the company are never available.
    """
    return await services.staff.availability(date, days, duration_minutes, address)


@router.get(
    "/cleaners",
    summary="List cleaners",
    operation_id="list_cleaners",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def list_cleaners(_: CurrentOfficeUser, services: ServicesDep, page: InPage) -> Page[CleanerView]:
    """List all current and former cleaners, in the order in which they became cleaners."""
    return await services.staff.cleaners(page)


@router.get(
    "/cleaners/{cleaner_id}",
    summary="Read a cleaner",
    operation_id="read_cleaner",
    responses=responses(ValidationFailed, *CLEANER_PROBLEMS),
)
async def read_cleaner(cleaner_id: Identifier, actor: CurrentStaff, services: ServicesDep) -> CleanerView:
    """Return one cleaner. A cleaner can read only their own record."""
    return await services.staff.cleaner(actor, cleaner_id)


@router.get(
    "/cleaners/{cleaner_id}/working-hours",
    summary="Read working hours",
    operation_id="read_working_hours",
    responses=responses(ValidationFailed, *CLEANER_PROBLEMS),
)
async def read_working_hours(
    cleaner_id: Identifier, actor: CurrentStaff, services: ServicesDep, response: Response
) -> Week:
    """Return the working hours of a week. A cleaner can read only their own."""
    week = await services.staff.week(actor, cleaner_id)
    set_etag(response, week.version)
    return week


@router.put(
    "/cleaners/{cleaner_id}/working-hours",
    summary="Replace working hours",
    operation_id="replace_working_hours",
    responses=responses(*BODY_PROBLEMS, *CONFLICTS, *CLEANER_PROBLEMS),
)
async def replace_working_hours(  # noqa: PLR0913  # the arguments that FastAPI injects
    *,
    cleaner_id: Identifier,
    change: WeekChange,
    actor: CurrentStaff,
    services: ServicesDep,
    expected: InExpected,
    response: Response,
) -> ChangedWeek:
    """Replace the working hours of the whole week.

    The cleaner loses future visits outside the new hours, but keeps a visit in progress. Automatic assignment gives
    each visit to another free cleaner. A visit without a free cleaner returns to `confirmed`.
    """
    week = await services.staff.change_week(actor, cleaner_id, change, expected)
    set_etag(response, week.version)
    return week


@router.get(
    "/cleaners/{cleaner_id}/days-off",
    summary="List days off",
    operation_id="list_days_off",
    responses=responses(ValidationFailed, *CLEANER_PROBLEMS),
)
async def list_days_off(
    cleaner_id: Identifier, actor: CurrentStaff, services: ServicesDep, page: InPage
) -> Page[DayOffView]:
    """List all days off, latest first. A cleaner can read only their own."""
    return await services.staff.days_off(actor, cleaner_id, page)


@router.post(
    "/cleaners/{cleaner_id}/days-off",
    summary="Add days off",
    operation_id="add_day_off",
    status_code=status.HTTP_201_CREATED,
    responses=responses(DuplicateDayOff, *BODY_PROBLEMS, *KEYED, *CLEANER_PROBLEMS),
)
async def add_day_off(  # noqa: PLR0913  # the arguments that FastAPI injects
    *,
    cleaner_id: Identifier,
    request: DayOffRequest,
    actor: CurrentStaff,
    services: ServicesDep,
    attempt: InAttempt,
    response: Response,
) -> NewDayOff:
    """Add one or more consecutive days on which the cleaner does not work.

    The cleaner loses future visits on these days, but keeps a visit in progress. Automatic assignment gives each visit
    to another free cleaner. A visit without a free cleaner returns to `confirmed`.
    """
    day_off = await services.staff.add_day_off(actor, cleaner_id, request, attempt)
    response.headers["Location"] = f"/api/v1/cleaners/{cleaner_id}/days-off/{day_off.id}"
    return day_off


@router.delete(
    "/cleaners/{cleaner_id}/days-off/{day_off_id}",
    summary="Remove days off",
    operation_id="remove_day_off",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(ValidationFailed, *CLEANER_PROBLEMS),
)
async def remove_day_off(
    cleaner_id: Identifier, day_off_id: Identifier, actor: CurrentStaff, services: ServicesDep
) -> None:
    """Remove days off. The cleaner can be booked on these days again."""
    await services.staff.remove_day_off(actor, cleaner_id, day_off_id)
