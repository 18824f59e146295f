"""Whether the API can do its work."""

from typing import Literal

from app import __version__
from app.health.problems import NotReady
from app.health.schemas import Checks, Readiness, Summary
from app.kit.breaker import State
from app.kit.cache import Cache
from app.kit.database import Database
from app.kit.problems import Problem

CHECK_TIMEOUT = 2.0  # seconds


class Health:
    """Readiness and the summary."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache
        self._leaving = False

    def leave(self) -> None:
        """Be not ready from now on, though everything works: the process is about to end."""
        self._leaving = True

    async def ready(self) -> Readiness:
        """Go the way of a request: through a worker thread into the database's file.

        That writes are refused is told, and no reason to get no traffic: most requests only read.

        Raises:
            NotReady: that does not work within CHECK_TIMEOUT, or the process is about to end.
        """
        if self._leaving:
            raise NotReady("This replica is about to stop.")
        return await self._works()

    async def _works(self) -> Readiness:
        try:
            await self._database.check(within=CHECK_TIMEOUT)
        except Problem as problem:
            raise NotReady(problem.detail) from problem
        return Readiness(writes="refused" if self._database.refuses_writes() else "ok")

    async def summary(self) -> Summary:
        """The state of everything the API depends on; without Redis, or for reading only, it is merely degraded."""
        database = await self._database_state()
        # While the breaker is open, asking would only make the answer late.
        redis_works = self._cache.breaker.state is not State.OPEN and await self._cache.ping()
        working = "ok" if redis_works and database == "ok" else "degraded"
        return Summary(
            status="unavailable" if database == "unavailable" else working,
            version=__version__,
            checks=Checks(database=database, redis="ok" if redis_works else "unavailable"),
        )

    async def _database_state(self) -> Literal["ok", "read-only", "unavailable"]:
        try:
            readiness = await self._works()
        except NotReady:
            return "unavailable"
        return "ok" if readiness.writes == "ok" else "read-only"
