"""Many registrations at the same moment, sent to any address: a process of the tests or a whole host."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import httpx

REQUEST_TIMEOUT = 30  # seconds: REQUEST_TIMEOUT of the API


async def storm(
    url: str, number: int, body: Callable[[], dict[str, str]], watched: str = "/health/ready"
) -> tuple[Counter[int], float, float]:
    """Register `number` users at once; return the answers by status, the slowest of them and of `watched` (s)."""
    done = asyncio.Event()
    slowest_watched = 0.0

    async def register(client: httpx.AsyncClient) -> tuple[int, float]:
        started = time.monotonic()
        answer = await client.post("/api/v1/auth/register", json=body())
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status_code, time.monotonic() - started

    async def watch(client: httpx.AsyncClient) -> None:
        nonlocal slowest_watched
        while not done.is_set():
            started = time.monotonic()
            assert (await client.get(watched)).status_code == 200
            slowest_watched = max(slowest_watched, time.monotonic() - started)
            await asyncio.sleep(0.1)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        watcher = asyncio.create_task(watch(client))
        answers = await asyncio.gather(*(register(client) for _ in range(number)))
        done.set()
        await watcher
    return Counter(status for status, _ in answers), max(seconds for _, seconds in answers), slowest_watched
