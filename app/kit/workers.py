"""A bounded pool of worker threads with a bounded waiting queue: the only way work leaves the event loop."""

import asyncio
import contextlib
import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from app.kit.problems import Overloaded

T = TypeVar("T")

START_TIMEOUT = 10.0  # seconds for all threads of a pool to come up


class WorkerPool:
    """Runs plain functions in `threads` threads while at most `queue` more wait.

    A job occupies its place until it really ends: when the awaiting request gives up, a waiting job is
    dropped and a running one keeps its thread counted. A pool whose threads are stuck therefore sheds at once
    instead of piling up. (anyio's limiter with `abandon_on_cancel` gives the place back too early.)
    """

    def __init__(self, name: str, *, threads: int, queue: int, nice: int = 0) -> None:
        """Start all threads, so that a process at its PID limit fails at start-up and not under load.

        Args:
            name: prefix of the threads' names.
            threads: how many jobs run at the same time.
            queue: how many more may wait.
            nice: added to the threads' niceness (0 to 19), so that the event loop wins the processor.
        """
        self.threads = threads
        self.queue = queue
        self._lock = threading.Lock()
        self._admitted = 0
        self._running: dict[int, float] = {}
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=_be_nice, initargs=(nice,))
        everybody = threading.Barrier(threads)
        for started in [self._executor.submit(everybody.wait, START_TIMEOUT) for _ in range(threads)]:
            started.result()

    @property
    def running(self) -> int:
        """Jobs in a thread right now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs waiting for a thread, dropped ones included until a thread has passed over them."""
        return max(0, self._admitted - self.running)

    def longest_running(self) -> float:
        """Seconds since the oldest running job began; 0 when idle."""
        with self._lock:
            return time.monotonic() - min(self._running.values()) if self._running else 0.0

    async def run(self, job: Callable[[], T], *, timeout: float) -> T:
        """Run `job` in a thread and return its result.

        Args:
            job: plain function; it must bound its own running time.
            timeout: seconds after which the caller stops waiting.

        Raises:
            Overloaded: threads and queue are full; raised at once.
            TimeoutError: no result in time.
        """
        self._admit()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()
        try:
            done = self._executor.submit(self._perform, answer, lambda: context.run(job))
        except RuntimeError as shut_down:
            self._release()
            raise Overloaded from shut_down
        done.add_done_callback(lambda finished: _deliver(loop, answer, finished))
        async with asyncio.timeout(timeout):
            return await answer

    def close(self) -> None:
        """Take no more jobs and drop the waiting ones; running ones end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _admit(self) -> None:
        with self._lock:
            if self._admitted >= self.threads + self.queue:
                raise Overloaded
            self._admitted += 1

    def _release(self) -> None:
        with self._lock:
            self._running.pop(threading.get_ident(), None)
            self._admitted -= 1

    def _perform(self, answer: asyncio.Future[T], job: Callable[[], T]) -> T | None:
        """In the thread: pass over a job that nobody waits for any more, else run it."""
        try:
            if answer.cancelled():
                return None
            with self._lock:
                self._running[threading.get_ident()] = time.monotonic()
            return job()
        finally:
            self._release()


def _be_nice(nice: int) -> None:
    if nice:
        # On Linux niceness belongs to a thread; raising it needs no privilege.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def _deliver(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], finished: Future[Any]) -> None:
    """In the thread: hand the outcome to the event loop, which may be gone by now."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, answer, finished)


def _settle(answer: asyncio.Future[Any], finished: Future[Any]) -> None:
    if answer.done():
        return
    if finished.cancelled():
        answer.cancel()
    elif error := finished.exception():
        answer.set_exception(error)
    else:
        answer.set_result(finished.result())
