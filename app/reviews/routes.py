"""HTTP routes of the reviews."""

from fastapi import APIRouter, Response, status

from app.accounts.dependencies import AUTHENTICATED_PROBLEMS, ROLE_PROBLEMS, CurrentClient, CurrentUser
from app.catalog.schemas import Identifier
from app.kit.body import StrictRoute
from app.kit.idempotency import KEYED, InAttempt
from app.kit.pagination import InPage, Page
from app.kit.problems import NotFound, PayloadTooLarge, ValidationFailed, responses
from app.reviews.problems import AlreadyReviewed, BookingNotCompleted
from app.reviews.schemas import PublicReview, ReviewRequest, ReviewView
from app.services import ServicesDep

router = APIRouter(prefix="/api/v1", tags=["reviews"], route_class=StrictRoute)


@router.post(
    "/bookings/{booking_id}/review",
    summary="Review a booking",
    operation_id="add_review",
    status_code=status.HTTP_201_CREATED,
    responses=responses(
        NotFound,
        BookingNotCompleted,
        AlreadyReviewed,
        PayloadTooLarge,
        ValidationFailed,
        *KEYED,
        *ROLE_PROBLEMS,
    ),
)
async def add_review(  # noqa: PLR0913  # one parameter for each part of the request
    *,
    booking_id: Identifier,
    request: ReviewRequest,
    actor: CurrentClient,
    services: ServicesDep,
    attempt: InAttempt,
    response: Response,
) -> ReviewView:
    """Review one of your own completed bookings. A booking can be reviewed once; a review cannot be changed."""
    review = await services.reviews.add(actor, booking_id, request, attempt)
    response.headers["Location"] = f"/api/v1/bookings/{booking_id}/review"
    return review


@router.get(
    "/bookings/{booking_id}/review",
    summary="Read a booking's review",
    operation_id="read_review",
    responses=responses(NotFound, ValidationFailed, *AUTHENTICATED_PROBLEMS),
)
async def read_review(booking_id: Identifier, actor: CurrentUser, services: ServicesDep) -> ReviewView:
    """Return the review of a booking. Only the booking's client, its cleaner and the office may read it."""
    return await services.reviews.of_booking(actor, booking_id)


@router.get(
    "/cleaners/{cleaner_id}/reviews",
    summary="List a cleaner's reviews",
    operation_id="list_reviews",
    responses=responses(NotFound, ValidationFailed, *AUTHENTICATED_PROBLEMS),
)
async def list_reviews(
    cleaner_id: Identifier, _: CurrentUser, services: ServicesDep, page: InPage
) -> Page[PublicReview]:
    """List the reviews of a cleaner, newest first."""
    return await services.reviews.of_cleaner(cleaner_id, page)
