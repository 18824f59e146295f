"""Readiness of the replica and state of its dependencies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Literal, TypeVar

from app import __version__
from app.health.problems import NotReady
from app.health.schemas import Checks, Readiness, Summary
from app.kit.breaker import State
from app.kit.cache import Cache
from app.kit.database import Database
from app.kit.problems import DatabaseFileMoved, Problem

T = TypeVar("T")

CHECK_TIMEOUT = 2.0  # seconds
CACHE_SECONDS = 0.5
"""Seconds for which the result of a check is reused, so that any number of requests costs two checks a second."""


class CachedCheck(Generic[T]):
    """A check that runs once at a time, and whose result is reused for CACHE_SECONDS."""

    def __init__(self, check: Callable[[], Awaitable[T]]) -> None:
        self._check = check
        self._running: asyncio.Task[T] | None = None
        self._started = 0.0

    async def result(self) -> T:
        """Return the result of the running or the last check, or raise its error."""
        if self._running is None or (self._running.done() and time.monotonic() - self._started >= CACHE_SECONDS):
            self._started = time.monotonic()
            self._running = asyncio.ensure_future(self._check())
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._running)


class Health:
    """Checks the readiness of the replica and the state of its dependencies."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache
        self._draining = False
        self._database_check = CachedCheck(lambda: database.check(within=CHECK_TIMEOUT))
        self._redis_check = CachedCheck(self._ping)

    def start_draining(self) -> None:
        """Make the readiness check fail from now on, because the process is about to end."""
        self._draining = True

    async def ready(self) -> Readiness:
        """Check, like a request, that a worker thread can read the database file.

        A replica whose database refuses writes stays ready, because most requests only read.

        Raises:
            DatabaseFileMoved: the database file was removed or replaced.
            NotReady: the check fails or exceeds CHECK_TIMEOUT, or the process is about to end.
        """
        self._database.check_file()  # first, because a moved file can be the reason why the process ends
        if self._draining:
            raise NotReady("This replica is about to stop.")
        return await self._database_readiness()

    async def _database_readiness(self) -> Readiness:
        try:
            await self._database_check.result()
        except Problem as problem:
            raise NotReady(problem.detail) from problem
        if forbidden := self._database.forbids_writes():
            return Readiness(writes="forbidden", cause=forbidden)
        refused = self._database.refuses_writes()
        return Readiness(writes="refused" if refused else "ok", cause=refused or None)

    async def summary(self) -> Summary:
        """Return the state of all dependencies. Without Redis or without writes, the API is only degraded."""
        database = await self._database_state()
        redis_works = await self._redis_check.result()
        working = "ok" if redis_works and database == "ok" else "degraded"
        return Summary(
            status="unavailable" if database == "unavailable" else working,
            version=__version__,
            checks=Checks(database=database, redis="ok" if redis_works else "unavailable"),
        )

    async def _ping(self) -> bool:
        # While the circuit breaker is open, a ping would only delay the answer.
        return self._cache.breaker.state is not State.OPEN and await self._cache.ping()

    async def _database_state(self) -> Literal["ok", "read-only", "unavailable"]:
        try:
            self._database.check_file()
            readiness = await self._database_readiness()
        except (NotReady, DatabaseFileMoved):
            return "unavailable"
        return "ok" if readiness.writes == "ok" else "read-only"
