"""What every request passes through, before a small application of its own."""

import asyncio

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.kit.metrics import Metrics
from app.kit.middleware import UNLIMITED, Entrance, Limits
from app.kit.throttle import Throttles


def entrance_of(app: ASGIApp, *, concurrency: int = 10, seconds: float = 20, per_address: int = 100) -> Entrance:
    return Entrance(
        app,
        limits=Limits(concurrency, seconds, 1000),
        metrics=Metrics(),
        throttles=Throttles(per_address=per_address, per_account=100),
    )


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://api")


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def slow(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(10)
    await answer(send)


async def broken(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    raise LookupError("an inner detail")


def test_a_request_past_its_deadline_is_answered_504() -> None:
    async def scene() -> httpx.Response:
        async with client_of(entrance_of(slow, seconds=0.1)) as client:
            assert (await client.get("/fast")).status_code == 200
            return await client.get("/slow")

    late = asyncio.run(scene())
    assert (late.status_code, late.json()["type"]) == (504, "/problems/deadline-exceeded")


def test_what_exceeds_the_limit_is_shed_but_health_passes() -> None:
    limited = entrance_of(slow, concurrency=1)

    async def scene() -> list[int]:
        async with client_of(limited) as client:
            first = asyncio.create_task(client.get("/slow"))
            while not limited.active:  # noqa: ASYNC110  # there is nothing to wait on but the request itself
                await asyncio.sleep(0.01)
            shed, health = await client.get("/fast"), await client.get("/health/ready")
            assert int(shed.headers["Retry-After"]) >= 1
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            again = await client.get("/fast")
            return [shed.status_code, health.status_code, again.status_code]

    assert asyncio.run(scene()) == [503, 200, 200]


def test_an_unexpected_error_is_a_500_that_tells_nothing() -> None:
    async def scene() -> httpx.Response:
        async with client_of(entrance_of(broken)) as client:
            return await client.get("/whole", headers={"X-Request-ID": "quote-me-1"})

    failed = asyncio.run(scene())
    assert (failed.status_code, failed.json()["type"]) == (500, "/problems/internal-error")
    assert failed.json()["request_id"] == failed.headers["X-Request-ID"] == "quote-me-1"
    assert failed.headers["Cache-Control"] == "no-store"
    assert "inner detail" not in failed.text


def test_half_an_answer_is_never_completed_with_a_second_one() -> None:
    async def scene() -> None:
        async with client_of(entrance_of(broken)) as client:
            await client.get("/half")

    with pytest.raises(LookupError):
        asyncio.run(scene())


def test_too_many_requests_of_an_address_are_refused_and_told_where_they_stand() -> None:
    paths = ("/api/a", "/health", "/api/c", "/health/live", "/openapi.json", *UNLIMITED)

    async def scene() -> list[httpx.Response]:
        async with client_of(entrance_of(slow, per_address=2)) as client:
            return [await client.get(path) for path in paths]

    first, second, third, *others = asyncio.run(scene())
    assert [each.status_code for each in (first, second, third)] == [200, 200, 429]
    assert [each.status_code for each in others] == [429, 429, 200, 200, 200]
    assert {each.headers["RateLimit-Policy"] for each in (first, second, third)} == {'"address";q=2;w=60'}
    assert [each.headers["RateLimit"].split(";t=")[0] for each in (first, second, third)] == [
        '"address";r=1',
        '"address";r=0',
        '"address";r=0',
    ]
    assert third.json()["type"] == "/problems/too-many-requests"
    assert third.headers["Retry-After"] == third.headers["RateLimit"].rpartition("=")[2]
    assert all("RateLimit" not in each.headers for each in others[-len(UNLIMITED) :])


def test_a_body_that_is_announced_as_too_large_is_refused_unread() -> None:
    async def scene() -> httpx.Response:
        async with client_of(entrance_of(slow)) as client:
            return await client.post("/", content=b"x" * 1001)

    assert asyncio.run(scene()).status_code == 413
