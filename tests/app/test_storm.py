"""Many people register at the same moment: all get an answer in time, whatever Redis does."""

import asyncio
import signal
import time
from collections import Counter

import httpx
import pytest

from tests.app.conftest import Redis, Serve, new_user

REQUEST_TIMEOUT = 30


async def storm(url: str, number: int) -> tuple[Counter[int], float, float]:
    """Register `number` users at once; return the answers by status, the slowest registration and readiness (s)."""
    done = asyncio.Event()
    slowest_ready = 0.0

    async def register(client: httpx.AsyncClient) -> tuple[int, float]:
        started = time.monotonic()
        answer = await client.post("/api/v1/auth/register", json=new_user())
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status_code, time.monotonic() - started

    async def watch(client: httpx.AsyncClient) -> None:
        nonlocal slowest_ready
        while not done.is_set():
            started = time.monotonic()
            assert (await client.get("/health/ready")).status_code == 200
            slowest_ready = max(slowest_ready, time.monotonic() - started)
            await asyncio.sleep(0.1)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        watcher = asyncio.create_task(watch(client))
        answers = await asyncio.gather(*(register(client) for _ in range(number)))
        done.set()
        await watcher
    return Counter(status for status, _ in answers), max(seconds for _, seconds in answers), slowest_ready


@pytest.mark.parametrize("state", ["runs", "stopped", "frozen"])
def test_everybody_gets_an_answer(serve: Serve, redis: Redis, state: str) -> None:
    server = serve(HASH_QUEUE="100")
    if state == "stopped":
        redis.process.terminate()
        redis.process.wait()
    if state == "frozen":
        redis.process.send_signal(signal.SIGSTOP)
    created = 0
    for number in (60, 200):
        answers, slowest, slowest_ready = asyncio.run(storm(server.url, number))
        assert set(answers) <= {201, 503}
        assert sum(answers.values()) == number
        assert slowest < REQUEST_TIMEOUT
        assert slowest_ready < 1
        created += answers[201]
    assert server.rows() == created > 0
