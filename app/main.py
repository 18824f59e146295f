"""The FastAPI application: routers, middleware and shared services."""

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

Every error is a problem document (`application/problem+json`, RFC 9457) with a stable `type`. An overloaded
service answers `503` with `Retry-After` at once. Quote `X-Request-ID` in support requests."""
EXPOSED_HEADERS = [
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
]
"""Response headers that scripts of CORS_ORIGINS can read."""
PREFLIGHT_MAX_AGE = 3600  # seconds for which a browser caches a preflight response
TAGS = [
    {"name": "auth", "description": "Registration and login"},
    {"name": "users", "description": "The signed-in user, and account administration"},
    {"name": "catalog", "description": "Services, extras and quotes"},
    {"name": "staff", "description": "Cleaners, working hours, days off and available times"},
    {"name": "bookings", "description": "Bookings, from the request to the completed visit"},
    {"name": "reviews", "description": "Reviews of completed bookings"},
    {"name": "office", "description": "Lists, schedule and figures for managers"},
    {"name": "health", "description": "Health checks for monitors and load balancers"},
]
LENIENT_QUERY_PATHS = ("/health", "/metrics", "/internal")
"""Paths that ignore unknown query parameters. Load balancers and scrapers add parameters to avoid caches, and a refused
health check would take a working replica out of service."""
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
    docs.install(app, settings, lambda: _example_ids(app))
    app.router.routes.insert(0, Crossroads(ROUTERS, any_query=LENIENT_QUERY_PATHS))
    return app


async def _example_ids(app: FastAPI) -> Mapping[str, str]:
    """Return ids from the catalogue for the examples; empty if the catalogue cannot be read."""
    services: Services = app.state.services
    try:
        return await services.catalog.example_ids()
    except Problem:
        return {}


def _middleware(settings: Settings, metrics: Metrics, throttles: Throttles) -> list[Middleware]:
    """Return the middleware, outermost first."""
    middleware = [Middleware(Entrance, limits=Limits.of(settings), metrics=metrics, throttles=throttles)]
    if settings.proxy_token:
        middleware.insert(0, Middleware(ForwardedClient, token=settings.proxy_token.get_secret_value()))
    if not settings.cors_origins:
        return middleware
    # Outermost, so that scripts of these origins can read the errors of the other middleware.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins.split(),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"],
        expose_headers=EXPOSED_HEADERS,
        allow_credentials=False,
        max_age=PREFLIGHT_MAX_AGE,
    )
    return [cors, *middleware]
