"""The database: one hop into a worker thread per unit of work, each within DATABASE_TIMEOUT.

No session ever crosses an `await`: `work(session)` runs from BEGIN to COMMIT in one thread. There are as many
threads as connections, so a thread never waits for a connection, nor a connection for a thread.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session

from app.kit import sqlite
from app.kit.problems import DatabaseUnavailable
from app.kit.workers import WorkerPool
from app.settings import Settings

T = TypeVar("T")
Work = Callable[[Session], T]

log = structlog.get_logger(__name__)

QUEUE = 512  # units of work that may wait for each pool; waiting is bounded by DATABASE_TIMEOUT anyhow
READINESS = "readiness"
"""Owner of the reads that look whether the database works: they do not wait behind those of clients."""
QUICK = 0.002  # seconds; nearly all reads take less
GRACE = 0.5  # seconds after which a caller stops waiting for a thread that should have interrupted itself
REFUSED_FOR = 15.0  # seconds for which a write that failed says something about the next


class Database:
    """Reads on several connections, writes on a single one."""

    def __init__(self, settings: Settings) -> None:
        """Open the database.

        Raises:
            SQLiteTooOldError: the SQLite library cannot be trusted with a live database.
        """
        sqlite.require_version()
        self._timeout = settings.database_timeout
        url = settings.parsed_database_url
        self._reader = reader = sqlite.reader_engine(url, settings.database_readers)
        self._writer = sqlite.writer_engine(url)
        connections: int = reader.pool.size()  # type: ignore[attr-defined]
        self.readers = WorkerPool("reader", threads=connections, queue=QUEUE, patience=QUICK)
        self.writers = WorkerPool("writer", threads=1, queue=QUEUE)
        self._refused_at: float | None = None  # when a write failed, if none has succeeded since

    async def read(self, work: Work[T], *, within: float | None = None, owner: str = "") -> T:
        """Run `work(session)` in a read-only transaction and return its result, usable after the session.

        Args:
            work: plain function; any attempt to write fails.
            within: seconds it may take, instead of DATABASE_TIMEOUT.
            owner: see `WorkerPool.run`.

        Raises:
            DatabaseUnavailable: not done in time, or the database cannot be used.
            Overloaded: too much work is waiting.
        """
        return await self._run(self.readers, lambda deadline: self._reading(work, deadline), within, owner)

    async def write(self, work: Work[T]) -> T:
        """Run `work(session)` in a transaction, commit it and return its result; raises as `read` does.

        Raises:
            IntegrityError: a constraint of the schema forbids it; nothing is written.
        """
        return await self._write(lambda deadline: self._writing(work, deadline, commit=True))

    async def rehearse(self, work: Work[T]) -> T:
        """Like `write`, but the transaction is rolled back at the end."""
        return await self._write(lambda deadline: self._writing(work, deadline, commit=False))

    def refuses_writes(self) -> bool:
        """Whether the last write failed a moment ago because of the database: it is locked, or has no room."""
        return self._refused_at is not None and time.monotonic() - self._refused_at < REFUSED_FOR

    async def check(self, *, within: float) -> None:
        """Read from the database's file and see that the writer's thread is not stuck.

        Raises:
            DatabaseUnavailable: it is, or the answer took more than `within` seconds.
            Overloaded: too much work is waiting.
        """
        await self.read(
            lambda session: session.connection().execute(text("SELECT * FROM alembic_version")).all(),
            within=within,
            owner=READINESS,
        )
        if self.writers.longest_running() > self._timeout + 2 * GRACE:
            raise DatabaseUnavailable("A write does not end.")

    def close(self) -> None:
        """Close the connections that are idle; those at work are closed when the process ends."""
        for pool in (self.readers, self.writers):
            pool.close()
        for engine in (self._reader, self._writer):
            engine.dispose()

    async def _write(self, unit: Callable[[float], T]) -> T:
        try:
            result = await self._run(self.writers, unit)
        except DatabaseUnavailable:
            self._refused_at = time.monotonic()
            raise
        self._refused_at = None
        return result

    async def _run(
        self, pool: WorkerPool, unit: Callable[[float], T], within: float | None = None, owner: str = ""
    ) -> T:
        seconds = within or self._timeout
        deadline = time.monotonic() + seconds
        try:
            return await pool.run(lambda: unit(deadline), timeout=seconds + GRACE, owner=owner)
        except TimeoutError as error:
            log.warning("database_timeout", seconds=seconds)
            raise DatabaseUnavailable from error
        except (DatabaseError, sqlite.Error) as error:
            reason = sqlite.unavailable_reason(error)
            if reason is None:
                raise
            log.warning("database_unavailable", reason=reason)
            raise DatabaseUnavailable from error

    def _reading(self, work: Work[T], deadline: float) -> T:
        """In the thread: one transaction from BEGIN to its end."""
        with (
            self._reader.connect() as connection,
            sqlite.transaction(connection, sqlite.READ, deadline),
            Session(connection, expire_on_commit=False) as session,
        ):
            return work(session)

    def _writing(self, work: Work[T], deadline: float, *, commit: bool) -> T:
        """In the thread: one transaction from BEGIN to its end."""
        with (
            self._writer.connect() as connection,
            sqlite.transaction(connection, sqlite.WRITE, deadline),
            Session(connection, expire_on_commit=False) as session,
        ):
            result = work(session)
            if time.monotonic() > deadline:
                # Nobody waits any more: better that it has not happened than that it has happened unseen.
                raise TimeoutError
            if commit:
                session.commit()
            return result
