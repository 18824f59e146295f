"""Whether the API can do its work."""

from app import __version__
from app.health.problems import NotReady
from app.health.schemas import Checks, Summary
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

    async def ready(self) -> None:
        """Go the way of a request: through a worker thread into the database's file.

        Raises:
            NotReady: that does not work within CHECK_TIMEOUT.
        """
        try:
            await self._database.check(within=CHECK_TIMEOUT)
        except Problem as problem:
            raise NotReady(problem.detail) from problem

    async def summary(self) -> Summary:
        """The state of everything the API depends on; without Redis it is merely degraded."""
        database_works = await self._is_ready()
        # While the breaker is open, asking would only make the answer late.
        redis_works = self._cache.breaker.state is not State.OPEN and await self._cache.ping()
        working = "ok" if redis_works else "degraded"
        return Summary(
            status=working if database_works else "unavailable",
            version=__version__,
            checks=Checks(
                database="ok" if database_works else "unavailable",
                redis="ok" if redis_works else "unavailable",
            ),
        )

    async def _is_ready(self) -> bool:
        try:
            await self.ready()
        except NotReady:
            return False
        return True
