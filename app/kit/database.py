"""The database: one hop into a worker thread per unit of work, each within DATABASE_TIMEOUT.

No session ever crosses an `await`: `work(session)` runs from BEGIN to COMMIT in one thread. There are as many
threads as connections, so a thread never waits for a connection, nor a connection for a thread.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session

from app.kit import sqlite
from app.kit.problems import DatabaseFileMoved, DatabaseUnavailable
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
RESCUE = 300.0  # seconds for a copy of a file that has been removed


class Database:
    """Reads on several connections, writes on a single one."""

    def __init__(self, settings: Settings) -> None:
        """Open the database.

        Raises:
            FileUnusableError: its file is missing, or not this process's to write.
            SQLiteTooOldError: the SQLite library cannot be trusted with a live database.
        """
        sqlite.require_version()
        self._timeout = settings.database_timeout
        self.file = sqlite.DatabaseFile(sqlite.database_file(settings.parsed_database_url))
        self._reader = reader = sqlite.reader_engine(self.file, settings.database_readers)
        self._writer = sqlite.writer_engine(self.file)
        connections: int = reader.pool.size()  # type: ignore[attr-defined]
        self.readers = WorkerPool("reader", threads=connections, queue=QUEUE, patience=QUICK)
        self.writers = WorkerPool("writer", threads=1, queue=QUEUE)
        self._refused: tuple[float, str] | None = None  # when a write failed and why, if none has succeeded since
        self._saved = False

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

    def refuses_writes(self) -> str:
        """Say why the last write failed a moment ago, if the database was at fault: it is locked, or has no room."""
        if self._refused is None or time.monotonic() - self._refused[0] >= REFUSED_FOR:
            return ""
        return self._refused[1]

    def forbids_writes(self) -> str:
        """Say which file belongs to somebody else, if writes fail; a cheap answer while they do not."""
        return sqlite.foreign(self.file.path) if self.refuses_writes() else ""

    async def check(self, *, within: float) -> None:
        """Read from the database's file and see that the writer's thread is not stuck.

        Raises:
            DatabaseUnavailable: a thread is stuck, or the answer took more than `within` seconds.
            Overloaded: too much work is waiting.
        """
        await self.read(
            lambda session: session.connection().execute(text("SELECT * FROM alembic_version")).all(),
            within=within,
            owner=READINESS,
        )
        if self.writers.longest_running() > self._timeout + 2 * GRACE:
            raise DatabaseUnavailable("A write does not end.")

    def check_file(self) -> None:
        """See that the file that is open is the one at the database's path.

        Raises:
            DatabaseFileMoved: it is not.
        """
        if sentence := self.file.moved():
            raise DatabaseFileMoved(f'{sentence}: see docs/operations.md, "The database is missing"')

    async def keep_file(self) -> bool:
        """Save what is open once its file has been removed or replaced, which only this process can still read.

        Returns:
            whether another file is at the path, all there: a new process may open it, this one will not.
        """
        if not self.file.moved():
            self._saved = False
            return False
        if not self._saved:
            self._saved = True
            log.error("database_file_moved", cause=self.file.moved(), copy=str(self.file.rescued))
            try:
                await self._run(self.writers, lambda _: self._save(), RESCUE)
            except (DatabaseUnavailable, DatabaseError, sqlite.Error, OSError) as error:  # another replica is at it
                log.warning("database_file_not_saved", cause=str(error.__cause__ or error))
        return self.file.successor()

    def _save(self) -> None:
        if not self.file.rescued.exists():
            with self._writer.connect() as connection:
                sqlite.save(connection, self.file.rescued)

    def close(self) -> None:
        """Close the connections that are idle; those at work are closed when the process ends."""
        for pool in (self.readers, self.writers):
            pool.close()
        for engine in (self._reader, self._writer):
            engine.dispose()

    async def _write(self, unit: Callable[[float], T]) -> T:
        try:
            result = await self._run(self.writers, unit)
        except DatabaseUnavailable as problem:
            self._refused = (time.monotonic(), str(getattr(problem.__cause__, "orig", None) or problem.__cause__))
            raise
        self._refused = None
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
        except sqlite.FileUnusableError as error:
            log.warning("database_unavailable", reason=str(error))
            raise DatabaseUnavailable from error
        except (DatabaseError, sqlite.Error) as error:
            reason = sqlite.unavailable_reason(error)
            if reason is None:
                raise
            log.warning("database_unavailable", reason=reason)
            raise DatabaseUnavailable from error

    def _reading(self, work: Work[T], deadline: float) -> T:
        """In the thread: one transaction from BEGIN to its end."""
        with self._transaction(self._reader, sqlite.READ, deadline) as session:
            return work(session)

    def _writing(self, work: Work[T], deadline: float, *, commit: bool) -> T:
        """In the thread: one transaction from BEGIN to its end."""
        with self._transaction(self._writer, sqlite.WRITE, deadline) as session:
            result = work(session)
            if time.monotonic() > deadline:
                # Nobody waits any more: better that it has not happened than that it has happened unseen.
                raise TimeoutError
            if commit:
                session.commit()
                self.file.require()  # only what is in the file at the path is acknowledged
            return result

    @contextmanager
    def _transaction(self, engine: Engine, begin: str, deadline: float) -> Iterator[Session]:
        with engine.connect() as connection:
            try:
                with (
                    sqlite.transaction(connection, begin, deadline),
                    Session(connection, expire_on_commit=False) as session,
                ):
                    self.file.require()
                    yield session
            except (DatabaseError, sqlite.Error) as error:
                if sqlite.opened_badly(error):
                    connection.invalidate()
                raise
