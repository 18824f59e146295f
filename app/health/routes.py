"""HTTP routes of health, canary and metrics."""

import hmac
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Response, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.health.problems import InvalidCanaryToken, NotReady
from app.health.schemas import CanaryResult, Liveness, Readiness, Summary
from app.kit.problems import DatabaseFileMoved, TooManyRequests, responses
from app.services import ServicesDep

health = APIRouter(prefix="/health", tags=["health"])
internal = APIRouter(include_in_schema=False)


@health.get(
    "",
    summary="Health summary",
    operation_id="health",
    responses={
        status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Summary, "description": "Unavailable"},
        **responses(TooManyRequests),
    },
)
async def summary(services: ServicesDep, response: Response) -> Summary:
    """Return the state of the API and of its dependencies. `degraded` is answered with 200, `unavailable` with 503."""
    found = await services.health.summary()
    if found.status == "unavailable":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return found


@health.get("/live", summary="Liveness", operation_id="live", responses=responses(TooManyRequests))
async def live() -> Liveness:
    """Answer as long as the event loop of this replica runs."""
    return Liveness()


@health.get("/ready", summary="Readiness", operation_id="ready", responses=responses(NotReady, DatabaseFileMoved))
async def ready(services: ServicesDep) -> Readiness:
    """Answer 200 if this replica can serve requests. The check reads the database in a worker thread."""
    return await services.health.ready()


@internal.post("/internal/canary")
async def canary(
    services: ServicesDep,
    token: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> CanaryResult:
    """Run a registration and roll it back, for the monitor."""
    expected = services.settings.canary_token.get_secret_value().encode()
    if token is None or not hmac.compare_digest(token.credentials.encode(), expected):
        raise InvalidCanaryToken
    started = time.perf_counter()
    await services.accounts.rehearse_registration()
    return CanaryResult(duration_ms=round((time.perf_counter() - started) * 1000, 1))


@internal.get("/metrics")
async def metrics(services: ServicesDep) -> Response:
    """Return all metrics in the text format of Prometheus."""
    return Response(services.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
