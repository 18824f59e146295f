"""Whether the API can do its work."""

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
REUSED_FOR = 0.5
"""Seconds for which the outcome of a check is given to others: any number of requests costs two checks a second."""


class Check(Generic[T]):
    """A check that runs once at a time, and whose outcome is reused for REUSED_FOR."""

    def __init__(self, check: Callable[[], Awaitable[T]]) -> None:
        self._check = check
        self._running: asyncio.Task[T] | None = None
        self._begun = 0.0

    async def outcome(self) -> T:
        """The outcome of the check that runs, or of one that has just ended; raises what the check raised."""
        if self._running is None or (self._running.done() and time.monotonic() - self._begun >= REUSED_FOR):
            self._begun = time.monotonic()
            self._running = asyncio.ensure_future(self._check())
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._running)


class Health:
    """Readiness and the summary."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache
        self._leaving = False
        self._database_works = Check(lambda: database.check(within=CHECK_TIMEOUT))
        self._redis_works = Check(self._ping)

    def leave(self) -> None:
        """Be not ready from now on, though everything works: the process is about to end."""
        self._leaving = True

    async def ready(self) -> Readiness:
        """Go the way of a request: through a worker thread into the database's file.

        That writes are refused is told, and no reason to get no traffic: most requests only read.

        Raises:
            DatabaseFileMoved: the database's file was removed or replaced.
            NotReady: that does not work within CHECK_TIMEOUT, or the process is about to end.
        """
        self._database.check_file()  # first: it may be why the process ends
        if self._leaving:
            raise NotReady("This replica is about to stop.")
        return await self._works()

    async def _works(self) -> Readiness:
        try:
            await self._database_works.outcome()
        except Problem as problem:
            raise NotReady(problem.detail) from problem
        if forbidden := self._database.forbids_writes():
            return Readiness(writes="forbidden", cause=forbidden)
        refused = self._database.refuses_writes()
        return Readiness(writes="refused" if refused else "ok", cause=refused or None)

    async def summary(self) -> Summary:
        """The state of everything the API depends on; without Redis, or for reading only, it is merely degraded."""
        database = await self._database_state()
        redis_works = await self._redis_works.outcome()
        working = "ok" if redis_works and database == "ok" else "degraded"
        return Summary(
            status="unavailable" if database == "unavailable" else working,
            version=__version__,
            checks=Checks(database=database, redis="ok" if redis_works else "unavailable"),
        )

    async def _ping(self) -> bool:
        # While the breaker is open, asking would only make the answer late.
        return self._cache.breaker.state is not State.OPEN and await self._cache.ping()

    async def _database_state(self) -> Literal["ok", "read-only", "unavailable"]:
        try:
            self._database.check_file()
            readiness = await self._works()
        except (NotReady, DatabaseFileMoved):
            return "unavailable"
        return "ok" if readiness.writes == "ok" else "read-only"
