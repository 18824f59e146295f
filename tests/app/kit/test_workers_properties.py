"""What holds for a worker pool of any size under any load."""

import asyncio
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from app.kit.problems import Overloaded
from app.kit.workers import WorkerPool


@settings(deadline=None, max_examples=40)
@given(
    threads=st.integers(1, 4),
    queue=st.integers(0, 6),
    jobs=st.integers(1, 20),
    impatient=st.sets(st.integers(0, 19)),
    patience=st.sampled_from([0.0, 0.001]),
)
def test_the_pool_admits_what_fits_and_loses_nothing(
    threads: int, queue: int, jobs: int, impatient: set[int], patience: float
) -> None:
    """Whoever is admitted and patient gets an answer; places come back even from those who gave up."""
    gate = threading.Event()
    pool = WorkerPool("property", threads=threads, queue=queue, patience=patience)

    async def scene() -> list[object]:
        tasks = [
            asyncio.create_task(pool.run(lambda: gate.wait(10), timeout=0.01 if number in impatient else 10))
            for number in range(jobs)
        ]
        hasty = [task for number, task in enumerate(tasks) if number in impatient]
        await asyncio.gather(*hasty, return_exceptions=True)
        await asyncio.sleep(0)  # for those behind them to be admitted or refused
        gate.set()
        return [*await asyncio.gather(*tasks, return_exceptions=True)]

    try:
        results = asyncio.run(scene())
    finally:
        gate.set()
    for number, result in enumerate(results):
        if number >= threads + queue:
            assert isinstance(result, Overloaded)
        elif number in impatient:
            assert isinstance(result, TimeoutError)
        else:
            assert result is True
    deadline = time.monotonic() + 5
    while pool.waiting or pool.running:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    pool.close()
