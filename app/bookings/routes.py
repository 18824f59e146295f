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
from app.bookings.dependencies import (
    PARTICIPANTS,
    ClientOrOffice,
    MyBookingsQuery,
    TransitionRequest,
    require_permission,
)
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

READ_PROBLEMS: tuple[type[Problem], ...] = (NotFound, ValidationFailed)
CHANGE_PROBLEMS: tuple[type[Problem], ...] = (WrongState, *READ_PROBLEMS, *ROLE_PROBLEMS)
BODY_CHANGE_PROBLEMS: tuple[type[Problem], ...] = (PayloadTooLarge, *CHANGE_PROBLEMS)

router = APIRouter(prefix="/api/v1/bookings", tags=["bookings"], route_class=StrictRoute)


def _with_etag(response: Response, versioned: tuple[Booking, int]) -> Booking:
    booking, version = versioned
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
    order: NewBooking, actor: ClientOrOffice, services: ServicesDep, attempt: InAttemptWithKey, response: Response
) -> Booking:
    """Book a visit. A client books for themselves; the office books for the client `client_id`.

    Depending on the company's settings, the service assigns a free cleaner at once, or the office confirms the
    booking and assigns a cleaner later.
    """
    booking = await services.bookings.create(actor, order, attempt)
    response.headers["Location"] = f"{router.prefix}/{booking.id}"
    return _with_etag(response, (booking, booking.version))


@router.get(
    "",
    summary="List my bookings",
    operation_id="list_my_bookings",
    response_model=Page[Booking],
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
    openapi_extra=lean.documented(MyBookingsQuery) | AUTHENTICATED_OPERATION,
)
async def list_my_bookings(request: Request) -> Response:
    """List the signed-in client's bookings, or the bookings assigned to the signed-in cleaner, latest visits first."""
    claims, query = await bearer_token(request), lean.query(request, MyBookingsQuery)
    services: Services = request.app.state.services
    page = await services.accounts.sessions.read_as(
        claims,
        PARTICIPANTS,
        lambda session, actor: services.bookings.list_own(session, actor, query.filters, query.paging),
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{booking_id}",
    summary="Read a booking",
    operation_id="read_booking",
    responses=responses(*READ_PROBLEMS, *AUTHENTICATED_PROBLEMS),
)
async def read_booking(
    booking_id: Identifier, actor: CurrentUser, services: ServicesDep, response: Response
) -> Booking:
    """Return one booking. Only its client, its cleaner and the office may read it."""
    return _with_etag(response, await services.bookings.read(actor, booking_id))


@router.get(
    "/{booking_id}/history",
    summary="Read a booking's history",
    operation_id="read_booking_history",
    responses=responses(*READ_PROBLEMS, *AUTHENTICATED_PROBLEMS),
)
async def read_booking_history(
    booking_id: Identifier, actor: CurrentUser, services: ServicesDep, paging: InPage
) -> Page[HistoryEntry]:
    """List the changes of a booking, oldest first."""
    return await services.bookings.history(actor, booking_id, paging)


@router.patch(
    "/{booking_id}",
    summary="Change a booking's address or notes",
    operation_id="change_booking",
    responses=responses(DuplicateBooking, SlotUnavailable, *CONFLICTS, *BODY_CHANGE_PROBLEMS),
)
async def change_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.CHANGE))],
    change: BookingChange,
    services: ServicesDep,
    expected: InExpected,
    response: Response,
) -> Booking:
    """Change the address or the notes. Clients can do so until the visit has started.

    If the assigned cleaner cannot reach the new address in time because of another visit, another cleaner is assigned.
    """
    return _with_etag(
        response, await services.bookings.change(transition.actor, transition.booking_id, change, expected)
    )


@router.post(
    "/{booking_id}/reschedule",
    summary="Reschedule a visit",
    operation_id="reschedule_booking",
    responses=responses(DuplicateBooking, SlotUnavailable, TooSoon, TooLate, *CONFLICTS, *BODY_CHANGE_PROBLEMS),
)
async def reschedule_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.RESCHEDULE))],
    rescheduling: Rescheduling,
    services: ServicesDep,
    expected: InExpected,
    response: Response,
) -> Booking:
    """Move the visit to another time. The cleaner stays the same if free then; otherwise another one is assigned.

    Clients can reschedule until `free_cancellation_until`; the office can until the visit has started.
    """
    versioned = await services.bookings.reschedule(transition.actor, transition.booking_id, rescheduling, expected)
    return _with_etag(response, versioned)


@router.post(
    "/{booking_id}/cancel",
    summary="Cancel a booking",
    operation_id="cancel_booking",
    responses=responses(PreconditionFailed, *BODY_CHANGE_PROBLEMS),
)
async def cancel_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.CANCEL))],
    cancellation: Cancellation,
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Cancel the booking. A client pays a fee after `free_cancellation_until`; the office never pays one."""
    versioned = await services.bookings.cancel(transition.actor, transition.booking_id, cancellation.reason, expected)
    return _with_etag(response, versioned)


@router.post(
    "/{booking_id}/confirm",
    summary="Confirm a booking",
    operation_id="confirm_booking",
    responses=responses(PreconditionFailed, *CHANGE_PROBLEMS),
)
async def confirm_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.CONFIRM))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Confirm a requested booking. Only for managers and administrators."""
    return _with_etag(response, await services.bookings.confirm(transition.actor, transition.booking_id, expected))


@router.post(
    "/{booking_id}/assign",
    summary="Assign a cleaner",
    operation_id="assign_booking",
    responses=responses(SlotUnavailable, PreconditionFailed, *BODY_CHANGE_PROBLEMS),
)
async def assign_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.ASSIGN))],
    assignment: Assignment,
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Assign the given cleaner, or the least loaded free one. A requested booking is confirmed first.

    Only for managers and administrators.
    """
    versioned = await services.bookings.assign(transition.actor, transition.booking_id, assignment.cleaner_id, expected)
    return _with_etag(response, versioned)


@router.post(
    "/{booking_id}/start",
    summary="Start a visit",
    operation_id="start_booking",
    responses=responses(TooEarly, PreconditionFailed, *CHANGE_PROBLEMS),
)
async def start_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.START))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Record that the cleaner has started the visit. Possible from two hours before its start time."""
    return _with_etag(response, await services.bookings.start(transition.actor, transition.booking_id, expected))


@router.post(
    "/{booking_id}/complete",
    summary="Complete a visit",
    operation_id="complete_booking",
    responses=responses(TooEarly, PreconditionFailed, *CHANGE_PROBLEMS),
)
async def complete_booking(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.COMPLETE))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Record that the cleaner has finished the visit. Possible from its start time."""
    return _with_etag(response, await services.bookings.complete(transition.actor, transition.booking_id, expected))


@router.post(
    "/{booking_id}/no-show",
    summary="Report a no-show",
    operation_id="miss_booking",
    responses=responses(TooEarly, PreconditionFailed, *CHANGE_PROBLEMS),
)
async def mark_no_show(
    transition: Annotated[TransitionRequest, Depends(require_permission(Transition.MARK_NO_SHOW))],
    services: ServicesDep,
    expected: InOptionalExpected,
    response: Response,
) -> Booking:
    """Record that the client did not let the cleaner in. Possible from the visit's start time."""
    return _with_etag(response, await services.bookings.mark_no_show(transition.actor, transition.booking_id, expected))
