"""The application: routes, limits and what they share."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from app import __version__
from app.accounts import routes as accounts
from app.bookings import routes as bookings
from app.catalog import routes as catalog
from app.health import routes as health
from app.kit import docs, problems
from app.kit.forwarded import ForwardedClient
from app.kit.metrics import Metrics
from app.kit.middleware import Entrance, Limits
from app.kit.problems import Problem
from app.kit.routing import Crossroads
from app.kit.throttle import Throttles
from app.office import routes as office
from app.reviews import routes as reviews
from app.services import Services
from app.settings import Settings
from app.staff import routes as staff

DESCRIPTION = """Booking backend of a cleaning company.

Every error is a problem document (`application/problem+json`, RFC 9457) with a stable `type`. When the
service is busy it says so at once: `503` with `Retry-After`. Quote `X-Request-ID` when asking for help."""
EXPOSED = [
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
]
"""Headers of answers that pages of CORS_ORIGINS may read."""
PREFLIGHT_SECONDS = 3600  # for which a browser need not ask again
TAGS = [
    {"name": "auth", "description": "Registration and login"},
    {"name": "users", "description": "The signed-in user, and accounts for administrators"},
    {"name": "catalog", "description": "Services, extras, quotes"},
    {"name": "staff", "description": "Cleaners, working hours, days off, free slots"},
    {"name": "bookings", "description": "From the request to the end"},
    {"name": "reviews", "description": "Of completed bookings"},
    {"name": "office", "description": "Lists, schedule and figures for managers"},
    {"name": "health", "description": "For monitors and load balancers"},
]
ANY_QUERY = ("/health", "/metrics", "/internal")
"""Paths asked by machines, whatever query they add: load balancers and scrapers send one to get past caches, and the
answer depends on nothing in it. Refusing it would take a working replica out of service."""
ROUTERS = (
    *accounts.routers,
    catalog.router,
    staff.router,
    bookings.router,
    reviews.router,
    office.router,
    health.health,
    health.internal,
)


def create_app(settings: Settings) -> FastAPI:
    """Build the application."""
    metrics = Metrics()
    throttles = Throttles.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services(settings, metrics, throttles)
        app.state.services = services
        services.start()
        try:
            yield
        finally:
            await services.close()

    app = FastAPI(
        title="Cleaning service API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=_middleware(settings, metrics, throttles),
    )
    problems.install(app)
    docs.install(app, settings, lambda: _on_offer(app))
    app.router.routes.insert(0, Crossroads(ROUTERS, any_query=ANY_QUERY))
    return app


async def _on_offer(app: FastAPI) -> Mapping[str, str]:
    """Ids of the catalogue for examples; none while that cannot be read."""
    services: Services = app.state.services
    try:
        return await services.catalog.example_ids()
    except Problem:
        return {}


def _middleware(settings: Settings, metrics: Metrics, throttles: Throttles) -> list[Middleware]:
    """What is around the routes; the first is the outermost."""
    around = [Middleware(Entrance, limits=Limits.of(settings), metrics=metrics, throttles=throttles)]
    if settings.proxy_token:
        around.insert(0, Middleware(ForwardedClient, token=settings.proxy_token.get_secret_value()))
    if not settings.cors_origins:
        return around
    # Around everything, so that pages of these origins can read refusals too.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins.split(),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"],
        expose_headers=EXPOSED,
        allow_credentials=False,
        max_age=PREFLIGHT_SECONDS,
    )
    return [cors, *around]
