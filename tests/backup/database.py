"""Accounts in a database of the service, and a writer that knows when it has committed each."""

import threading
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2

from app.kit.sqlite import DatabaseFile, writer_engine


def insert(connection: Any, made: float) -> str:  # noqa: ANN401  # the driver has no types
    """Add an account that was made at a moment; returns its id."""
    name, at = str(uuid.uuid4()), datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    connection.execute(
        "INSERT INTO user_account (id, email, password_hash, full_name, created_at, updated_at)"
        " VALUES (?, ?, 'x', 'Ann', ?, ?)",
        (name, f"{name}@example.com", at, at),
    )
    return name


def register(database: Path, number: int = 1, ago: float = 3600.0) -> None:
    """Add accounts that were made so many seconds ago."""
    with closing(dbapi2.connect(database, isolation_level=None)) as connection:
        for _ in range(number):
            insert(connection, time.time() - ago)


def rows(database: Path) -> set[str]:
    """Return the ids of the accounts in a database."""
    with closing(dbapi2.connect(database)) as connection:
        return {str(row[0]) for row in connection.execute("SELECT id FROM user_account")}


def sound(database: Path) -> bool:
    """Whether all of a database can be read and holds together."""
    with closing(dbapi2.connect(database)) as connection:
        return [*connection.execute("PRAGMA integrity_check")] == [("ok",)]


def accounts(database: Path) -> int:
    """Count the accounts in a database."""
    with closing(dbapi2.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM user_account").fetchone()[0])


@dataclass(frozen=True)
class Commit:
    """One row that was committed.

    Attributes:
        row: its id.
        at: when the commit had returned, in seconds since the epoch.
        took: seconds that the transaction took.
    """

    row: str
    at: float
    took: float


class Writer(threading.Thread):
    """Adds accounts at a steady rate, with the connection that the API writes with, until it is closed.

    Attributes:
        ledger: what was committed, in this order.
        failures: what else became of a transaction, a sentence each.
    """

    def __init__(self, database: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.ledger: list[Commit] = []
        self.failures: list[str] = []
        self._database = database
        self._pause = 1 / rate
        self._closed = threading.Event()

    def run(self) -> None:
        """Write."""
        engine = writer_engine(DatabaseFile(self._database))
        with closing(engine.raw_connection()) as pooled:
            connection = pooled.driver_connection
            due = time.monotonic()
            while not self._closed.wait(max(0.0, due - time.monotonic())):
                self._write(connection)
                due += self._pause
        engine.dispose()

    def _write(self, connection: Any) -> None:  # noqa: ANN401  # the driver has no types
        began = time.monotonic()
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = insert(connection, time.time())
            connection.execute("COMMIT")
        except dbapi2.Error as error:
            self.failures.append(str(error))
            connection.rollback()
        else:
            self.ledger.append(Commit(row, time.time(), time.monotonic() - began))

    def close(self) -> None:
        """Stop writing."""
        self._closed.set()
        self.join(30)
