"""Many people register at the same moment: all get an answer in time, whatever Redis does."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from converged import REDIS, address, freeze, healthy, new_user, wait_until
from testinfra.host import Host

REQUEST_TIMEOUT = 30


async def storm(number: int) -> tuple[Counter[int], float, float]:
    """Register `number` users at once; return the answers by status, the slowest registration and readiness (s)."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"http://{address()}", timeout=60, limits=limits, trust_env=False) as client:
        done = asyncio.Event()
        slowest_ready = 0.0

        async def register() -> tuple[int, float]:
            started = time.monotonic()
            answer = await client.post("/api/v1/auth/register", json=new_user())
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 1
            return answer.status_code, time.monotonic() - started

        async def watch_readiness() -> None:
            nonlocal slowest_ready
            async with httpx.AsyncClient(base_url=f"http://{address()}", timeout=30, trust_env=False) as other:
                while not done.is_set():
                    started = time.monotonic()
                    assert (await other.get("/health/ready")).status_code == 200
                    slowest_ready = max(slowest_ready, time.monotonic() - started)
                    await asyncio.sleep(0.1)

        watcher = asyncio.create_task(watch_readiness())
        answers = await asyncio.gather(*(register() for _ in range(number)))
        done.set()
        await watcher
    return Counter(status for status, _ in answers), max(seconds for _, seconds in answers), slowest_ready


@pytest.fixture(params=["runs", "stopped", "frozen"])
def redis_state(request: pytest.FixtureRequest, host: Host) -> Iterator[str]:
    """Redis in one of three states, with the monitor asked to leave it so."""
    host.check_output("cleaning-service-monitor pause 5m --reason test")
    if request.param == "stopped":
        host.check_output(f"docker stop {REDIS}")
    if request.param == "frozen":
        freeze(host, REDIS)
    yield request.param
    host.check_output(f"docker restart --time 1 {REDIS}")
    wait_until(lambda: healthy(host, REDIS), 30, "Redis healthy again")
    host.check_output("cleaning-service-monitor resume")


@pytest.mark.parametrize("number", [60, 200])
def test_everybody_gets_an_answer(redis_state: str, number: int) -> None:
    answers, slowest, slowest_ready = asyncio.run(storm(number))
    print(f"\nRedis {redis_state}, {number} at once: {dict(answers)}")
    print(f"slowest registration {slowest:.1f} s, slowest readiness {slowest_ready:.2f} s")
    assert set(answers) <= {201, 503}
    assert answers[201] > 0
    assert sum(answers.values()) == number
    assert slowest < REQUEST_TIMEOUT
    assert slowest_ready < 1
