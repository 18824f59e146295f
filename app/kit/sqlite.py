"""All that is particular to SQLite: connections, transactions, and keeping a unit of work within its time."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
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


OPENED_BADLY = frozenset({8, 14})
"""READONLY CANTOPEN: a connection that was opened while the file had another owner stays like that."""

WAL, SHM = "-wal", "-shm"
SETTLED = 2.0
"""Seconds without a write after which a file that replaces another one is taken to be all there."""
EX_NOINPUT, EX_NOPERM = 66, 77  # sysexits.h
_NOT_THERE = "the database file is missing"
_ANOTHER = "the database file was replaced by another one"


class SQLiteTooOldError(RuntimeError):
    """The SQLite library is older than MINIMUM_VERSION."""


class FileUnusableError(Exception):
    """The database's file is missing, or its owner keeps this process from using it; the text is for a person.

    Args:
        sentence: says what is wrong.
        exit_code: what a process ends with that cannot begin for it; the monitor knows these codes.
    """

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class FileMovedError(FileUnusableError):
    """The file at the database's path is not the one that is open; the text says whether one is there."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, EX_NOINPUT)


class DatabaseFile:
    """The file that is at the database's path when this is made; all connections of an engine have it open.

    Args:
        path: of the database.

    Raises:
        FileUnusableError: it is missing, or not this process's to write.
    """

    def __init__(self, path: Path) -> None:
        if sentence := foreign(path):
            raise FileUnusableError(sentence, EX_NOPERM)
        if not path.exists():
            raise absent(path)
        self.path = path
        self._name = str(path.absolute())
        found = os.stat(self._name)  # noqa: PTH116  # twice as fast, and in the way of every unit of work
        self._identity = (found.st_dev, found.st_ino)

    def moved(self) -> str:
        """Say what has become of the file if it is not at its path any more, else nothing; takes a microsecond."""
        try:
            found = os.stat(self._name)  # noqa: PTH116
        except OSError:
            return _NOT_THERE
        return "" if (found.st_dev, found.st_ino) == self._identity else _ANOTHER

    def successor(self) -> bool:
        """Whether another file is at the path, and nobody has written into it for SETTLED."""
        try:
            return self.moved() == _ANOTHER and time.time() - self.path.stat().st_mtime > SETTLED
        except OSError:
            return False

    def require(self) -> None:
        """See that the file that is open is the one at the path.

        Raises:
            FileMovedError: it is not.
        """
        if sentence := self.moved():
            raise FileMovedError(sentence)

    def connect(self) -> Any:  # noqa: ANN401  # the driver has no types
        """Open a connection to this file, which is never created.

        Raises:
            FileMovedError: it is another one by now.
            FileUnusableError: what lies beside it cannot be used.
        """
        self.require()
        try:
            with _locked(self._beside(".lock")):
                return self._connect()
        except OSError as error:
            raise FileUnusableError(f"{error.filename}: {error.strerror}", EX_NOPERM) from error

    def _connect(self) -> Any:  # noqa: ANN401
        owner = self._set_foreign_log_aside()
        # isolation_level None: the driver starts no transactions of its own; its legacy mode breaks savepoints and DDL.
        connection = dbapi2.connect(_uri(self._name), uri=True, isolation_level=None, check_same_thread=False)
        try:
            # The file may have been replaced since. Nothing has been read yet: closing it touches no log.
            self.require()
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")  # opens the log
            self._remember_log(owner)
        except Exception:
            connection.close()
            raise
        return connection

    def _set_foreign_log_aside(self) -> object:
        """Rename a write-ahead log that belongs to another file than this; returns what is noted of the log.

        SQLite finds the log by its name alone. Where the database was replaced while the log of the one before lay
        beside it, the pages of that one would be taken for those of this one.
        """
        log, owner = self._beside(WAL), {}
        with suppress(OSError, ValueError):
            owner = json.loads(self._beside(".log-of").read_text(encoding="ascii"))
        if log.exists() and owner.get("log") == log.stat().st_ino and owner.get("database") != self._identity[1]:
            for suffix in (WAL, SHM):
                with suppress(FileNotFoundError):
                    self._beside(suffix).rename(self._beside(f".replaced-{owner['database']}{suffix}"))
            structlog.get_logger(__name__).warning("foreign_log_set_aside", database=owner["database"])
        return owner

    def _remember_log(self, noted: object) -> None:
        """Note down that the log which lies beside this file is its own."""
        try:
            owner = {"database": self._identity[1], "log": self._beside(WAL).stat().st_ino}
        except FileNotFoundError:  # a database without one
            return
        if owner != noted:
            self._beside(".log-of").write_text(json.dumps(owner), encoding="ascii")

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @property
    def rescued(self) -> Path:
        """Where a copy of this file is put when it has been removed or replaced."""
        return self.path.with_name(f"rescued-{self._identity[1]}.db")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes, for the moment that opening a file takes."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def absent(path: Path) -> FileUnusableError:
    """What to raise where there is no database, or an empty file in its place."""
    what = "empty" if path.exists() else "missing"
    return FileUnusableError(
        f'the database {path.absolute()} is {what}: put it back (docs/operations.md, "The database is missing"), '
        "or, if it shall be a new one without any data, run `migrate --create`",
        EX_NOINPUT,
    )


def foreign(path: Path) -> str:
    """Say which of the database's files this process may not write, or nothing where it may write all."""
    files = [path, *(path.with_name(path.name + suffix) for suffix in (WAL, SHM))]
    for each in (path.absolute().parent, *files):
        if each.exists() and not os.access(each, os.R_OK | os.W_OK | (os.X_OK if each.is_dir() else 0)):
            found = each.stat()
            return (
                f"{each} belongs to the user {found.st_uid} with the mode {found.st_mode & 0o7777:04o}, and the API "
                f"runs as the user {os.geteuid()}, which cannot write it"
            )
    return ""


def create(path: Path) -> None:
    """Make an empty file where there is none; whatever is there stays.

    Raises:
        OSError: it cannot be made.
    """
    path.touch(mode=0o640)


def _uri(name: str) -> str:
    return f"file:{quote(name)}?mode=rw"


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


def writer_engine(file: DatabaseFile, *, foreign_keys: bool = True) -> Engine:
    """One connection. Begin with WRITE: it takes the lock at once, so it can never fail to upgrade half-way.

    Args:
        file: of the database.
        foreign_keys: off only for migrations, which may have to rebuild a table others point to.
    """
    return _engine(
        file,
        1,
        ("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={int(foreign_keys)}"),
    )


def reader_engine(file: DatabaseFile, connections: int) -> Engine:
    """`connections` connections that cannot write."""
    return _engine(file, connections, ("query_only=ON", f"busy_timeout={READER_PATIENCE}"))


def _engine(file: DatabaseFile, connections: int, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        "sqlite://",
        module=dbapi2,
        creator=file.connect,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
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


def save(connection: Connection, target: Path) -> None:
    """Write what the connection has open to a new file, even if its own file has been removed.

    Raises:
        Error: it cannot be written, or another process is at it.
        OSError: the same.
    """
    part = target.with_name(f"{target.name}.part")
    driver: Any = connection.connection.driver_connection
    driver.execute("VACUUM INTO ?", (str(part),))
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(target)


def opened_badly(error: Exception) -> bool:
    """Whether a new connection may work where this one does not."""
    return _code(error) in OPENED_BADLY


def unavailable_reason(error: Exception) -> str | None:
    """SQLite's name of the error when the database is at fault, None when the query is."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = _code(error)
    return str(getattr(original, "sqlite_errorname", code)) if code in UNAVAILABLE else None


def _code(error: Exception) -> int:
    """SQLite's primary code, which is the low byte; 0 of an error that is none of SQLite's."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return int(getattr(original, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def exclusive(url: URL) -> Iterator[Connection]:
    """A connection of its own, for migrations; holds the write lock, rolls back what is not committed."""
    engine = writer_engine(DatabaseFile(database_file(url)), foreign_keys=False)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(WRITE)
            yield connection
    finally:
        engine.dispose()


def broken_references(connection: Connection) -> int:
    """Rows whose foreign key points to nothing."""
    return len(connection.exec_driver_sql("PRAGMA foreign_key_check").all())
