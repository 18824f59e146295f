"""The bounded pool: what is full says so at once, and a busy thread stays counted."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from app.kit.problems import Overloaded
from app.kit.workers import WorkerPool


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """One thread, and one place to wait."""
    pool = WorkerPool("test", threads=1, queue=1)
    yield pool
    pool.close()


def test_a_full_pool_sheds_at_once(pool: WorkerPool) -> None:
    gate = threading.Event()

    async def scene() -> None:
        jobs = [asyncio.create_task(pool.run(lambda: gate.wait(5), timeout=5)) for _ in range(2)]
        await asyncio.sleep(0.05)
        started = time.monotonic()
        with pytest.raises(Overloaded):
            await pool.run(lambda: None, timeout=5)
        assert time.monotonic() - started < 0.5
        gate.set()
        await asyncio.gather(*jobs)
        assert await pool.run(lambda: 42, timeout=5) == 42

    asyncio.run(scene())


def test_a_caller_who_gives_up_does_not_free_the_busy_thread(pool: WorkerPool) -> None:
    gate = threading.Event()
    ran: list[str] = []

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            await pool.run(lambda: gate.wait(5), timeout=0.05)
        assert pool.running == 1
        with pytest.raises(TimeoutError):
            await pool.run(lambda: ran.append("nobody waits for this"), timeout=0.05)
        with pytest.raises(Overloaded):
            await pool.run(lambda: None, timeout=0.05)
        gate.set()

    asyncio.run(scene())
    pool.close()
    deadline = time.monotonic() + 5
    while (pool.running or pool.waiting) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (pool.running, ran) == (0, [])


def test_errors_reach_the_caller(pool: WorkerPool) -> None:
    def fail() -> None:
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        asyncio.run(pool.run(fail, timeout=5))
