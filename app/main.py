"""The application: routes, limits and what they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from app import __version__
from app.accounts import routes as accounts
from app.health import routes as health
from app.kit import docs, middleware, problems
from app.kit.metrics import Metrics
from app.services import Services
from app.settings import Settings

DESCRIPTION = """Booking backend of a cleaning company.

Every error is a problem document (`application/problem+json`, RFC 9457) with a stable `type`. When the
service is busy it says so at once: `503` with `Retry-After`. Quote `X-Request-ID` when asking for help."""
TAGS = [
    {"name": "auth", "description": "Registration and login"},
    {"name": "users", "description": "The signed-in user"},
    {"name": "health", "description": "For monitors and load balancers"},
]


def create_app(settings: Settings) -> FastAPI:
    """Build the application."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services(settings, metrics)
        app.state.services = services
        services.watchdog.start()
        try:
            yield
        finally:
            await services.close()

    app = FastAPI(
        title="Cleaning service API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[  # the first is the outermost
            Middleware(middleware.RequestId),
            Middleware(middleware.Observe, metrics=metrics),
            Middleware(middleware.SecurityHeaders),
            Middleware(middleware.CatchAll),
            Middleware(middleware.ConcurrencyLimit, limit=settings.max_concurrent_requests),
            Middleware(middleware.Deadline, seconds=settings.request_timeout),
            Middleware(middleware.BodyLimit, limit=settings.max_body_bytes),
        ],
    )
    problems.install(app)
    docs.install(app)
    for router in (accounts.auth, accounts.users, health.health, health.internal):
        app.include_router(router)
    return app
