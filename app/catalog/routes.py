"""HTTP routes of the catalogue: services, extras and quotes."""

from fastapi import APIRouter, Request, Response, status

from app.accounts.dependencies import COMMON_PROBLEMS, ROLE_PROBLEMS, CurrentOfficeUser
from app.catalog.problems import CatalogueFull, VisitTooLong
from app.catalog.schemas import (
    Extra,
    ExtraChange,
    Identifier,
    NewExtra,
    NewService,
    Offer,
    Quote,
    QuoteRequest,
    Service,
    ServiceChange,
)
from app.kit import conditional
from app.kit.body import StrictRoute
from app.kit.conditional import CONFLICTS, InExpected, set_etag
from app.kit.idempotency import KEYED, InAttempt
from app.kit.pagination import InPage, Page
from app.kit.problems import NotFound, PayloadTooLarge, ValidationFailed, responses
from app.services import ServicesDep

PUBLIC_CACHE_CONTROL = "public, max-age=60, stale-while-revalidate=300"
"""Cache-Control of the public list."""
READ_PROBLEMS = (NotFound, ValidationFailed)
BODY_PROBLEMS = (PayloadTooLarge, ValidationFailed)
CONDITIONAL = {"parameters": [conditional.PARAMETER]}

router = APIRouter(prefix="/api/v1", tags=["catalog"], route_class=StrictRoute)


@router.get(
    "/services",
    summary="List bookable services",
    operation_id="list_services",
    response_model=Offer,
    responses=conditional.DOCUMENTED | responses(*COMMON_PROBLEMS),
    openapi_extra=CONDITIONAL,
)
async def list_services(request: Request) -> Response:
    """List all active services with their active extras and the measures that a quote requires."""
    # The most requested operation has no dependencies: resolving them would cost more than the rest of the request.
    offer = await request.app.state.services.catalog.public_list.get()
    headers = {"ETag": offer.etag, "Cache-Control": PUBLIC_CACHE_CONTROL}
    if conditional.unchanged(request, offer.etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(offer.content, headers=headers, media_type="application/json")


@router.get(
    "/services/{service_id}",
    summary="Read a service",
    operation_id="read_service",
    response_model=Service,
    responses=conditional.DOCUMENTED | responses(*READ_PROBLEMS, *COMMON_PROBLEMS),
    openapi_extra=CONDITIONAL,
)
async def read_service(
    service_id: Identifier, request: Request, response: Response, services: ServicesDep
) -> Service | Response:
    """Return a service with all its extras, including inactive ones."""
    service = await services.catalog.read_service(service_id)
    set_etag(response, service.version)
    if conditional.unchanged(request, response.headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": response.headers["ETag"]})
    return service


@router.get(
    "/services/{service_id}/extras/{extra_id}",
    summary="Read an extra",
    operation_id="read_extra",
    responses=responses(*READ_PROBLEMS, *COMMON_PROBLEMS),
)
async def read_extra(service_id: Identifier, extra_id: Identifier, response: Response, services: ServicesDep) -> Extra:
    """Return an extra of a service, even if it is inactive."""
    extra = await services.catalog.read_extra(service_id, extra_id)
    set_etag(response, extra.version)
    return extra


@router.get(
    "/office/services",
    summary="List all services",
    operation_id="list_all_services",
    responses=responses(ValidationFailed, *ROLE_PROBLEMS),
)
async def list_all_services(_: CurrentOfficeUser, paging: InPage, services: ServicesDep) -> Page[Service]:
    """List all services and extras, including inactive ones. Only for managers and administrators."""
    return await services.catalog.list_services(paging)


@router.post(
    "/services",
    summary="Add a service",
    operation_id="add_service",
    status_code=status.HTTP_201_CREATED,
    responses=responses(CatalogueFull, *KEYED, *BODY_PROBLEMS, *ROLE_PROBLEMS),
)
async def add_service(
    actor: CurrentOfficeUser, new: NewService, attempt: InAttempt, response: Response, services: ServicesDep
) -> Service:
    """Add a service to the catalogue. Only for managers and administrators."""
    service = await services.catalog.add_service(actor, new, attempt)
    set_etag(response, service.version)
    response.headers["Location"] = f"/api/v1/services/{service.id}"
    return service


@router.patch(
    "/services/{service_id}",
    summary="Change a service",
    operation_id="change_service",
    responses=responses(CatalogueFull, NotFound, *CONFLICTS, *BODY_PROBLEMS, *ROLE_PROBLEMS),
)
async def change_service(  # noqa: PLR0913  # one parameter for each part of the request
    *,
    actor: CurrentOfficeUser,
    service_id: Identifier,
    change: ServiceChange,
    expected: InExpected,
    response: Response,
    services: ServicesDep,
) -> Service:
    """Change a service. Existing bookings keep their price. Only for managers and administrators."""
    service = await services.catalog.change_service(actor, service_id, change, expected)
    set_etag(response, service.version)
    return service


@router.post(
    "/services/{service_id}/extras",
    summary="Add an extra",
    operation_id="add_extra",
    status_code=status.HTTP_201_CREATED,
    responses=responses(CatalogueFull, *KEYED, NotFound, *BODY_PROBLEMS, *ROLE_PROBLEMS),
)
async def add_extra(  # noqa: PLR0913  # one parameter for each part of the request
    *,
    actor: CurrentOfficeUser,
    service_id: Identifier,
    new: NewExtra,
    attempt: InAttempt,
    response: Response,
    services: ServicesDep,
) -> Extra:
    """Add an extra to a service. This increases the service's version. Only for managers and administrators."""
    extra = await services.catalog.add_extra(actor, service_id, new, attempt)
    set_etag(response, extra.version)
    response.headers["Location"] = f"/api/v1/services/{service_id}/extras/{extra.id}"
    return extra


@router.patch(
    "/services/{service_id}/extras/{extra_id}",
    summary="Change an extra",
    operation_id="change_extra",
    responses=responses(NotFound, *CONFLICTS, *BODY_PROBLEMS, *ROLE_PROBLEMS),
)
async def change_extra(  # noqa: PLR0913  # one parameter for each part of the request
    *,
    actor: CurrentOfficeUser,
    service_id: Identifier,
    extra_id: Identifier,
    change: ExtraChange,
    expected: InExpected,
    response: Response,
    services: ServicesDep,
) -> Extra:
    """Change an extra. `If-Match` takes the extra's ETag. Only for managers and administrators."""
    extra = await services.catalog.change_extra(actor, service_id, extra_id, change, expected)
    set_etag(response, extra.version)
    return extra


@router.post(
    "/quotes",
    summary="Calculate a quote",
    operation_id="quote",
    responses=responses(VisitTooLong, *BODY_PROBLEMS, *COMMON_PROBLEMS),
)
async def quote(request: QuoteRequest, services: ServicesDep) -> Quote:
    """Return the itemised price and the duration of a visit. Nothing is stored; the price is fixed by the booking."""
    return await services.catalog.read_quote(request)
