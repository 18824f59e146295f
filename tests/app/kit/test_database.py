"""The database: every unit of work ends in time, and readers cannot write."""

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pysqlite3 import dbapi2
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from app.kit import database as database_kit
from app.kit import sqlite
from app.kit.database import Database
from app.kit.problems import DatabaseUnavailable
from app.settings import Settings

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def seconds() -> float:
    """What a unit of work may take; tests of many at once ask for more."""
    return 0.5


@pytest.fixture
def database(tmp_path: Path, seconds: float) -> Iterator[Database]:
    """A database with one table, whose units of work may take `seconds`."""
    settings = Settings(
        secret_key="s" * 32,
        canary_token="c" * 32,
        database_url=f"sqlite:///{tmp_path}/kit.db",
        database_timeout=seconds,
        database_readers=2,
    )
    sqlite.create(tmp_path / "kit.db")
    database = Database(settings)
    asyncio.run(database.write(lambda session: run(session, "CREATE TABLE thing (name TEXT UNIQUE)")))
    yield database
    database.close()


def run(session: Session, statement: str) -> list[object]:
    """Execute plain SQL and return the rows, if any."""
    result = session.connection().execute(text(statement))
    return list(result.scalars()) if result.returns_rows else []


def insert(session: Session, name: str) -> list[object]:
    """Insert one row."""
    session.connection().execute(text("INSERT INTO thing VALUES (:name)"), {"name": name})
    return []


def test_an_endless_query_is_interrupted_and_its_thread_is_free_again(database: Database) -> None:
    async def scene() -> list[object]:
        started = time.monotonic()
        results = await asyncio.gather(
            *(database.read(lambda session: run(session, ENDLESS)) for _ in range(2)), return_exceptions=True
        )
        assert all(isinstance(result, DatabaseUnavailable) for result in results)
        assert time.monotonic() - started < 2
        return await database.read(lambda session: run(session, "SELECT 1"))

    assert asyncio.run(scene()) == [1]
    assert database.readers.running == 0


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises((OperationalError, DatabaseUnavailable)):
        asyncio.run(database.read(lambda session: run(session, "INSERT INTO thing VALUES ('x')")))
    assert asyncio.run(database.read(lambda session: run(session, "SELECT count(*) FROM thing"))) == [0]


def test_what_is_written_is_read_and_what_is_rehearsed_is_not(database: Database) -> None:
    asyncio.run(database.write(lambda session: run(session, "INSERT INTO thing VALUES ('kept')")))
    asyncio.run(database.rehearse(lambda session: run(session, "INSERT INTO thing VALUES ('gone')")))
    assert asyncio.run(database.read(lambda session: run(session, "SELECT name FROM thing"))) == ["kept"]


def test_an_error_rolls_everything_back(database: Database) -> None:
    def half_done(session: Session) -> None:
        run(session, "INSERT INTO thing VALUES ('half')")
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(database.write(half_done))
    assert asyncio.run(database.read(lambda session: run(session, "SELECT count(*) FROM thing"))) == [0]


@pytest.mark.parametrize("late", [0.1, database_kit.GRACE + 0.1], ids=["caller waits", "caller has given up"])
def test_write_after_its_deadline_is_rolled_back(database: Database, seconds: float, late: float) -> None:
    def write(session: Session) -> None:
        insert(session, "late")
        time.sleep(seconds + late)

    async def scene() -> list[object]:
        with pytest.raises(DatabaseUnavailable):
            await database.write(write)
        # The single writer thread runs this after that write.
        return await database.rehearse(lambda session: run(session, "SELECT name FROM thing"))

    assert asyncio.run(scene()) == []


@pytest.mark.parametrize("seconds", [30])
def test_many_writers_and_readers_at_once_all_end(database: Database) -> None:
    async def scene() -> None:
        for number in range(100):
            tasks.append(asyncio.create_task(database.write(partial(insert, name=str(number)))))
            tasks.append(asyncio.create_task(database.read(lambda session: run(session, "SELECT count(*) FROM thing"))))
        await asyncio.gather(*tasks)

    tasks: list[asyncio.Task[list[object]]] = []
    threads = threading.active_count()
    asyncio.run(scene())
    assert asyncio.run(database.read(lambda session: run(session, "SELECT count(*) FROM thing"))) == [100]
    assert threading.active_count() <= threads + 1


def test_durability_settings(database: Database) -> None:
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "query_only")
    found = asyncio.run(database.write(lambda session: [run(session, f"PRAGMA {name}")[0] for name in pragmas]))
    assert found == ["wal", 2, 1, 0]


def test_an_old_sqlite_is_refused() -> None:
    with pytest.raises(sqlite.SQLiteTooOldError, match=r"3\.51\.3"):
        sqlite.require_version((3, 46, 1))


def test_a_write_that_reads_first_cannot_be_overtaken(database: Database, tmp_path: Path) -> None:
    """A deferred transaction would fail here with SQLITE_BUSY_SNAPSHOT, however long the busy time-out."""
    stranger = dbapi2.connect(tmp_path / "kit.db", isolation_level=None, timeout=0, check_same_thread=False)

    def read_then_write(session: Session) -> None:
        run(session, "SELECT count(*) FROM thing")
        with pytest.raises(dbapi2.OperationalError, match="locked"):
            stranger.execute("INSERT INTO thing VALUES ('overtaken')")
        run(session, "INSERT INTO thing VALUES ('mine')")

    try:
        asyncio.run(database.write(read_then_write))
    finally:
        stranger.close()
    assert asyncio.run(database.read(lambda session: run(session, "SELECT name FROM thing"))) == ["mine"]
