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


@pytest.fixture
def patient() -> Iterator[WorkerPool]:
    """Three threads, of which one does what takes less than 20 ms."""
    pool = WorkerPool("test", threads=3, queue=100, patience=0.02)
    yield pool
    pool.close()


@pytest.mark.alone
def test_quick_jobs_share_a_thread(patient: WorkerPool) -> None:
    async def scene() -> set[str]:
        return {
            *await asyncio.gather(*(patient.run(lambda: threading.current_thread().name, timeout=5) for _ in range(50)))
        }

    assert len(asyncio.run(scene())) == 1


def test_nobody_waits_behind_a_slow_job(patient: WorkerPool) -> None:
    gate = threading.Event()

    async def scene() -> None:
        slow = [asyncio.create_task(patient.run(lambda: gate.wait(10), timeout=10)) for _ in range(2)]
        quick = [asyncio.create_task(patient.run(lambda: 42, timeout=5)) for _ in range(20)]
        assert await asyncio.gather(*quick) == [42] * 20
        assert patient.running == 2
        gate.set()
        assert await asyncio.gather(*slow) == [True, True]

    asyncio.run(scene())


def test_a_result_does_not_wait_for_the_next_job(patient: WorkerPool) -> None:
    gate = threading.Event()

    async def scene() -> None:
        first = asyncio.create_task(patient.run(lambda: 1, timeout=5))
        slow = [asyncio.create_task(patient.run(lambda: gate.wait(10), timeout=10)) for _ in range(5)]
        assert await first == 1
        gate.set()
        await asyncio.gather(*slow)

    asyncio.run(scene())


def test_a_pool_serves_one_event_loop_after_the_other(patient: WorkerPool) -> None:
    for number in range(20):
        assert asyncio.run(patient.run(lambda number=number: number, timeout=5)) == number  # type: ignore[misc]


def test_a_closed_pool_takes_nothing_and_drops_what_waits(pool: WorkerPool) -> None:
    gate = threading.Event()

    async def scene() -> None:
        running, waiting = (asyncio.create_task(pool.run(lambda: gate.wait(5), timeout=5)) for _ in range(2))
        await asyncio.sleep(0.05)
        pool.close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 1)
        gate.set()
        assert await running

    asyncio.run(scene())
    with pytest.raises(Overloaded):
        asyncio.run(pool.run(lambda: None, timeout=5))
