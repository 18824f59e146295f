"""A bounded pool of worker threads with a bounded waiting queue: the only way work leaves the event loop."""

import asyncio
import contextlib
import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from app.kit.fairqueue import FairQueue
from app.kit.problems import Overloaded

T = TypeVar("T")

START_TIMEOUT = 10.0  # seconds for all threads of a pool to come up


class _Job:
    """Something to do, and the future of whoever waits for it."""

    __slots__ = ("answer", "context", "error", "result", "work")

    def __init__(self, work: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        self.work = work
        self.answer = answer
        self.context = contextvars.copy_context()
        self.result: Any = None
        self.error: BaseException | None = None

    def perform(self) -> None:
        """In the thread."""
        try:
            self.result = self.context.run(self.work)
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
            self.error = error

    def drop(self) -> None:
        """In the event loop of whoever waits: nobody will do it."""
        self.answer.cancel()

    def refuse(self) -> None:
        """Called in the caller's event loop when another owner's job has taken the place in the queue."""
        if not self.answer.done():
            self.answer.set_exception(Overloaded())

    def settle(self) -> None:
        """In the event loop of whoever waits."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class WorkerPool:
    """Runs plain functions in `threads` threads while at most `queue` more wait.

    A job occupies its place until it really ends: when the awaiting request gives up, a waiting job is
    dropped and a running one keeps its thread counted. A pool whose threads are stuck therefore sheds at once
    instead of piling up. (anyio's limiter with `abandon_on_cancel` gives the place back too early.)

    With `patience` one thread does all that is quick: a further one begins only when every job at work has been
    running for so long, and results go back together. Threads that take turns at Python's lock after every few
    microseconds of work would cost several times that work.
    """

    def __init__(self, name: str, *, threads: int, queue: int, nice: int = 0, patience: float = 0.0) -> None:
        """Start all threads, so that a process at its PID limit fails at start-up and not under load.

        Args:
            name: prefix of the threads' names.
            threads: how many jobs run at the same time.
            queue: how many more may wait.
            nice: added to the threads' niceness (0 to 19), so that the event loop wins the processor.
            patience: seconds.
        """
        self.threads = threads
        self.queue = queue
        self._patience = patience
        self._lock = threading.Lock()
        self._called = threading.Condition(self._lock)
        self._sleeping = 0
        self._rising = 0
        self._closed = False
        self._waiting: FairQueue[_Job] = FairQueue()
        self._running: dict[int, float] = {}
        self._ended: deque[_Job] = deque()
        self._looking_in: asyncio.AbstractEventLoop | None = None
        everybody = threading.Barrier(threads + 1)
        for number in range(threads):
            # Daemons: a job that does not end must not keep the process from ending.
            threading.Thread(target=self._serve, args=(everybody, nice), name=f"{name}_{number}", daemon=True).start()
        everybody.wait(START_TIMEOUT)

    @property
    def running(self) -> int:
        """Jobs in a thread right now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs waiting for a thread, dropped ones included until a thread has passed over them."""
        return len(self._waiting)

    def longest_running(self) -> float:
        """Seconds since the oldest running job began; 0 when idle."""
        with self._lock:
            return time.monotonic() - min(self._running.values()) if self._running else 0.0

    async def run(self, job: Callable[[], T], *, timeout: float, owner: str = "") -> T:
        """Run `job` in a thread and return its result.

        Args:
            job: plain function; it must bound its own running time.
            timeout: seconds after which the caller stops waiting.
            owner: owners of waiting jobs take turns; when the queue is full, the newest job of the owner with the most
                jobs makes room for another owner's.

        Raises:
            Overloaded: threads and queue are full; raised at once, or when another owner's job takes the place.
            TimeoutError: no result in time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._closed:
                raise Overloaded
            if len(self._waiting) + len(self._running) >= self.threads + self.queue:
                displaced = self._waiting.displace(owner)
                if displaced is None:
                    raise Overloaded
                _soon(displaced.answer.get_loop(), displaced.refuse)
            self._waiting.put(owner, _Job(job, answer))
            self._call()
        if self._patience:
            self._look_again(loop)
        async with asyncio.timeout(timeout):
            return await answer

    def close(self) -> None:
        """Take no more jobs and drop the waiting ones; running ones end by themselves."""
        with self._lock:
            self._closed = True
            dropped = self._waiting.clear()
            self._called.notify_all()
        for job in dropped:
            _soon(job.answer.get_loop(), job.drop)

    def _call(self) -> None:
        """With the lock: wake a thread if there is something to do and nobody who will do it soon."""
        if self._waiting and self._sleeping > self._rising and not (self._patience and self._soon_free()):
            self._rising += 1
            self._called.notify()

    def _soon_free(self) -> bool:
        """With the lock: whether some thread is about to look for a job."""
        return self._rising > 0 or time.monotonic() - max(self._running.values(), default=0.0) < self._patience

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the loop: look after the pool in a moment, unless that is planned already."""
        if self._looking_in is not loop:
            self._looking_in = loop
            loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        with self._lock:
            self._call()
            idle = not self._waiting and not self._running
        self._deliver()
        self._looking_in = None
        if not idle:
            self._look_again(asyncio.get_running_loop())

    def _deliver(self) -> None:
        """In the loop: hand over what has ended."""
        here = asyncio.get_running_loop()
        while self._ended:
            job = self._ended.popleft()
            loop = job.answer.get_loop()
            if loop is here:
                job.settle()
            else:
                _soon(loop, job.settle)

    def _serve(self, everybody: threading.Barrier, nice: int) -> None:
        """The life of a thread."""
        _be_nice(nice)
        everybody.wait(START_TIMEOUT)
        me = threading.get_ident()
        while (job := self._next(me)) is not None:
            job.perform()
            self._ended.append(job)
            with self._lock:
                del self._running[me]
                more = self._waiting and self._patience
            if not more:
                _soon(job.answer.get_loop(), self._deliver)

    def _next(self, me: int) -> _Job | None:
        """Wait for a job that somebody still waits for; None when the pool is closed."""
        with self._lock:
            while not self._closed:
                while self._waiting and not (self._patience and self._soon_free()):
                    job = self._waiting.take()
                    if not job.answer.cancelled():
                        self._running[me] = time.monotonic()
                        return job
                self._sleeping += 1
                self._called.wait()
                self._sleeping -= 1
                self._rising -= self._rising > 0
            return None


def _be_nice(nice: int) -> None:
    if nice:
        # On Linux niceness belongs to a thread; raising it needs no privilege.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """In a thread: have the event loop do it; it may be gone by now."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)
