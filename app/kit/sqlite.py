"""All that is particular to SQLite: connections, transactions, and keeping a unit of work within its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

Error: type[Exception] = dbapi2.DatabaseError
"""What the driver itself raises."""

MINIMUM_VERSION = (3, 51, 3)
"""Earlier versions can corrupt a WAL database that several connections write and checkpoint."""

PROGRESS_INTERVAL = 1000
"""Virtual-machine instructions between two looks at the clock: well under a millisecond."""

READ = "BEGIN"
WRITE = "BEGIN IMMEDIATE"

READER_PATIENCE = 1000
"""Milliseconds that a reader waits for a lock; it meets one only while another process recovers the database."""

BUSY_SHARE = 0.8
"""Part of the remaining time spent waiting for another process's lock; the rest is for the work itself."""

UNAVAILABLE = frozenset({5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26})
"""BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT FULL CANTOPEN PROTOCOL NOTADB: the database's fault, not
the query's (https://www.sqlite.org/rescode.html)."""


class SQLiteTooOldError(RuntimeError):
    """The SQLite library is older than MINIMUM_VERSION."""


def require_version(version: tuple[int, ...] = dbapi2.sqlite_version_info) -> None:
    """Refuse to work with a SQLite library that can corrupt the database.

    Raises:
        SQLiteTooOldError: it is.
    """
    if version < MINIMUM_VERSION:
        needed, found = (".".join(map(str, numbers)) for numbers in (MINIMUM_VERSION, version))
        raise SQLiteTooOldError(f"SQLite {needed} or later is needed, this is {found}: install the pysqlite3 package")


def database_file(url: URL) -> Path:
    """The file that the URL names."""
    return Path(str(url.database))


def writer_engine(url: URL, *, foreign_keys: bool = True) -> Engine:
    """One connection. Begin with WRITE: it takes the lock at once, so it can never fail to upgrade half-way.

    Args:
        url: of the database.
        foreign_keys: off only for migrations, which may have to rebuild a table others point to.
    """
    return _engine(
        url,
        1,
        ("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={int(foreign_keys)}"),
    )


def reader_engine(url: URL, connections: int) -> Engine:
    """`connections` connections that cannot write."""
    return _engine(url, connections, ("query_only=ON", f"busy_timeout={READER_PATIENCE}"))


def _engine(url: URL, connections: int, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        url,
        module=dbapi2,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        # None: the driver starts no transactions of its own; its legacy mode breaks savepoints and DDL.
        connect_args={"isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:  # noqa: ANN401  # the driver has no types
        for pragma in ("busy_timeout=10000", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    return engine


@contextmanager
def transaction(connection: Connection, begin: str, deadline: float) -> Iterator[None]:
    """Begin a transaction, which ends with the connection's if not before.

    Args:
        connection: of one of these engines.
        begin: READ or WRITE.
        deadline: of time.monotonic(): what runs then, or waits for a lock, is interrupted.
    """
    driver: Any = connection.connection.driver_connection
    if begin == WRITE:
        remaining = max(0.0, deadline - time.monotonic())
        driver.execute(f"PRAGMA busy_timeout={int(remaining * BUSY_SHARE * 1000)}")
    driver.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_INTERVAL)
    try:
        # Not by SQLAlchemy, whose way there takes longer than most queries.
        driver.execute(begin)
        yield
    finally:
        driver.set_progress_handler(None, 0)


def unavailable_reason(error: Exception) -> str | None:
    """SQLite's name of the error when the database is at fault, None when the query is."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", 0)
    # The low byte is the primary code.
    return str(getattr(original, "sqlite_errorname", code)) if code & 0xFF in UNAVAILABLE else None


@contextmanager
def exclusive(url: URL) -> Iterator[Connection]:
    """A connection of its own, for migrations; holds the write lock, rolls back what is not committed."""
    engine = writer_engine(url, foreign_keys=False)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(WRITE)
            yield connection
    finally:
        engine.dispose()


def broken_references(connection: Connection) -> int:
    """Rows whose foreign key points to nothing."""
    return len(connection.exec_driver_sql("PRAGMA foreign_key_check").all())
