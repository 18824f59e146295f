"""Work beside the requests: small rounds, repeated for as long as the application runs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

BACKOFF = 30.0  # seconds between rounds while they fail


class Background:
    """Repeats an asynchronous function; its failures are logged and never end it, nor the application."""

    def __init__(
        self, name: str, work: Callable[[], Awaitable[bool]], *, every: float, backoff: float = BACKOFF
    ) -> None:
        """Prepare.

        Args:
            name: for the log.
            work: one round; returns whether there is more to do at once.
            every: seconds between rounds.
            backoff: seconds between rounds while they fail, if that is more.
        """
        self._name = name
        self._work = work
        self._every = every
        self._backoff = max(backoff, every)
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = False

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Do not wait for the next round: there is something to do. From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wanted.set)

    async def stop(self, *, grace: float = 0.0) -> None:
        """End.

        Args:
            grace: seconds that a round in progress gets to finish before it is cut off.
        """
        if self._task is None:
            return
        self._ending = True
        self._wanted.set()
        if grace:
            await asyncio.wait([self._task], timeout=grace)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._ending:
            pause = self._every
            self._wanted.clear()
            try:
                if await self._work():
                    pause = 0.0
            except Exception:
                log.exception("background_work_failed", work=self._name)
                pause = self._backoff
            try:
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            except TimeoutError:
                pass
