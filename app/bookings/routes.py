"""HTTP routes of the bookings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from app.accounts.dependencies import (
    AUTHENTICATED_OPERATION,
    AUTHENTICATED_PROBLEMS,
    ROLE_PROBLEMS,
    CurrentUser,
    bearer_token,
)
from app.bookings.dependencies import PARTICIPANTS, InBooker, Task, Wanted, may
from app.bookings.problems import DuplicateBooking, SlotUnavailable, TooEarly, TooLate, TooSoon, WrongState
from app.bookings.schemas import (
    Assignment,
    Booking,
    BookingChange,
    Cancellation,
    HistoryEntry,
    NewBooking,
    Rescheduling,
)
from app.bookings.states import Transition
from app.catalog.problems import VisitTooLong
from app.catalog.schemas import Identifier
from app.kit import lean
from app.kit.body import StrictRoute
from app.kit.conditional import CONFLICTS, InExpected, InOptionalExpected, PreconditionFailed, set_etag
from app.kit.idempotency import KEYED, InAttemptWithKey
from app.kit.pagination import InPage, Page
from app.kit.problems import NotFound, PayloadTooLarge, Problem, ValidationFailed, responses
from app.services import Services, ServicesDep

FOUND: tuple[type[Problem], ...] = (NotFound, ValidationFailed)
CHANGED: tuple[type[Problem], ...] = (WrongState, *FOUND, *ROLE_PROBLEMS)
CHANGED_BY_BODY: tuple[type[Problem], ...] = (PayloadTooLarge, *CHANGED)

router = APIRouter(prefix="/api/v1/bookings", tags=["bookings"], route_class=StrictRoute)


def _tagged(response: Response, seen: tuple[Booking, int]) -> Booking:
    booking, version = seen
    set_etag(response, version)
    return booking


@router.post(
    "",
    summary="Book a visit",
    operation_id="create_booking",
    status_code=status.HTTP_201_CREATED,
    responses=responses(
        DuplicateBooking,
        SlotUnavailable,
        TooSoon,
        TooLate,
        *KEYED,
        VisitTooLong,
        PayloadTooLarge,
        ValidationFailed,
        *ROLE_PROBLEMS,
    ),
)
async def create_booking(
    order: NewBooking, actor: InBooker, services: ServicesDep, attempt: InAttemptWithKey, response: Response
) -> Booking:
    """Book a visit for oneself, or, as the office, for the client `client_id`.

    The company assigns a free cleaner at once, or confirms the booking later, as it has chosen.
    """
    booking = await services.bookings.create(actor, order, attempt)
    response.headers["Location"] = f"{router.prefix}/{booking.id}"
    return _tagged(response, (booking, booking.version))


@router.get(
    "",
    summary="List my bookings",
    operation_id="list_my_bookings",
    response_model=Page[Booking],
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
    openapi_extra=lean.documented(Wanted) | AUTHENTICATED_OPERATION,
)
async def list_my_bookings(request: Request) -> Response:
    """A client's own bookings, or the visits that a cleaner is assigned to; the latest first."""
    claims, wanted = await bearer_token(request), lean.query(request, Wanted)
    services: Services = request.app.state.services
    page = await services.accounts.sessions.read_as(
        claims,
        PARTICIPANTS,
        lambda session, actor: services.bookings.mine(session, actor, wanted.filters, wanted.paging),
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{booking_id}",
    summary="Read a booking",
    operation_id="read_booking",
    responses=responses(*FOUND, *AUTHENTICATED_PROBLEMS),
)
async def read_booking(
    booking_id: Identifier, actor: CurrentUser, services: ServicesDep, response: Response
) -> Booking:
    """One booking: its client, its cleaner and the office may read it."""
    return _tagged(response, await services.bookings.read(actor, booking_id))


@router.get(
    "/{booking_id}/history",
    summary="Read a booking's history",
    operation_id="read_booking_history",
    responses=responses(*FOUND, *AUTHENTICATED_PROBLEMS),
)
async def read_booking_history(
    booking_id: Identifier, actor: CurrentUser, services: ServicesDep, paging: InPage
) -> Page[HistoryEntry]:
    """Every change of the booking, the first first."""
    return await services.bookings.history(actor, booking_id, paging)


@router.patch(
    "/{booking_id}",
    summary="Change address or notes",
    operation_id="change_booking",
    responses=responses(DuplicateBooking, SlotUnavailable, *CONFLICTS, *CHANGED_BY_BODY),
)
async def change_booking(
    task: Annotated[Task, Depends(may(Transition.CHANGE))],
    change: BookingChange,
    services: ServicesDep,
    expected: InExpected,
    response: Response,
) -> Booking:
    """Change where to come, or what the cleaner should know; clients as long as the visit has not begun.

    A cleaner who would not get to the new address in time, because of another visit, is replaced by one who does.
    """
    return _tagged(response, await services.bookings.change(task.actor, task.booking_id, change, expected))


@router.post(
    "/{booking_id}/reschedule",
    summary="Move a visit",
    operation_id="reschedule_booking",
    responses=responses(DuplicateBooking, SlotUnavailable, TooSoon, TooLate, *CONFLICTS, *CHANGED_BY_BODY),
)
async def reschedule_booking(
    task: Annotated[Task, Depends(may(Transition.RESCHEDULE))],
    rescheduling: Rescheduling,
    services: ServicesDep,
    expected: InExpected,
    response: Response,
) -> Booking:
    """Move the visit to another time: with the same cleaner who is free then, otherwise with another one.

    Clients can do so until `free_cancellation_until`, the office always.
    """
    seen = await services.bookings.reschedule(task.actor, task.booking_id, rescheduling, expected)
    return _tagged(response, seen)


@router.post(
    "/{booking_id}/cancel",
    summary="Cancel a booking",
    operation_id="cancel_booking",
    responses=responses(PreconditionFailed, *CHANGED_BY_BODY),
)
async def cancel_booking(
    task: Annotated[Task, Depends(may(Transition.CANCEL))],
    cancellation: Cancellation,
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Cancel: without a fee for clients until `free_cancellation_until`, and always for the office."""
    seen = await services.bookings.cancel(task.actor, task.booking_id, cancellation.reason, expected)
    return _tagged(response, seen)


@router.post(
    "/{booking_id}/confirm",
    summary="Confirm a booking",
    operation_id="confirm_booking",
    responses=responses(PreconditionFailed, *CHANGED),
)
async def confirm_booking(
    task: Annotated[Task, Depends(may(Transition.CONFIRM))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Say yes to a requested booking."""
    return _tagged(response, await services.bookings.confirm(task.actor, task.booking_id, expected))


@router.post(
    "/{booking_id}/assign",
    summary="Assign a cleaner",
    operation_id="assign_booking",
    responses=responses(SlotUnavailable, PreconditionFailed, *CHANGED_BY_BODY),
)
async def assign_booking(
    task: Annotated[Task, Depends(may(Transition.ASSIGN))],
    assignment: Assignment,
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Send this cleaner, or the least loaded free one; a requested booking is confirmed by it."""
    seen = await services.bookings.assign(task.actor, task.booking_id, assignment.cleaner_id, expected)
    return _tagged(response, seen)


@router.post(
    "/{booking_id}/start",
    summary="Start a visit",
    operation_id="start_booking",
    responses=responses(TooEarly, PreconditionFailed, *CHANGED),
)
async def start_booking(
    task: Annotated[Task, Depends(may(Transition.START))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """The cleaner begins; from two hours before the visit's time."""
    return _tagged(response, await services.bookings.start(task.actor, task.booking_id, expected))


@router.post(
    "/{booking_id}/complete",
    summary="Complete a visit",
    operation_id="complete_booking",
    responses=responses(TooEarly, PreconditionFailed, *CHANGED),
)
async def complete_booking(
    task: Annotated[Task, Depends(may(Transition.COMPLETE))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """The cleaner is done; from the visit's time on."""
    return _tagged(response, await services.bookings.complete(task.actor, task.booking_id, expected))


@router.post(
    "/{booking_id}/no-show",
    summary="Report that nobody was there",
    operation_id="miss_booking",
    responses=responses(TooEarly, PreconditionFailed, *CHANGED),
)
async def miss_booking(
    task: Annotated[Task, Depends(may(Transition.MISS))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """The client did not let the cleaner in; from the visit's time on."""
    return _tagged(response, await services.bookings.miss(task.actor, task.booking_id, expected))
