"""Readiness and summary, also with stuck threads and refused writes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pysqlite3 import dbapi2
from sqlalchemy import make_url, text
from sqlmodel import Session

from app.health.problems import NotReady
from app.health.service import CACHE_SECONDS, Health
from app.kit.cache import Cache
from app.kit.database import Database
from app.kit.problems import DatabaseUnavailable, Problem
from app.migrations.upgrade import migrate
from app.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with two readers, short time-outs and no Redis."""
    url = f"sqlite:///{tmp_path}/health.db"
    migrate(make_url(url), create=True)
    return Settings(
        secret_key="s" * 32,
        canary_token="c" * 32,
        database_url=url,
        database_timeout=0.2,
        database_readers=2,
        redis_url="redis://127.0.0.1:1",
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """An open database."""
    database = Database(settings)
    yield database
    database.close()


async def stuck(work: Callable[[Session], object], run: Callable[..., object]) -> None:
    with pytest.raises(Problem):
        await run(work)  # type: ignore[misc]


def test_summary_without_redis_is_degraded(settings: Settings, database: Database) -> None:
    health = Health(database, Cache(settings))
    summary = asyncio.run(health.summary())
    assert (summary.status, summary.checks.database, summary.checks.redis) == ("degraded", "ok", "unavailable")


def test_readiness_reports_refused_writes(settings: Settings, database: Database) -> None:
    """Another process holds the write lock: reads continue, and readiness reports the refused writes."""
    health = Health(database, Cache(settings))
    path = settings.parsed_database_url.database
    assert path
    stranger = dbapi2.connect(path, isolation_level=None)

    def write(session: Session) -> None:
        session.connection().execute(text("DELETE FROM user_account WHERE id = 0"))

    async def scenario() -> None:
        stranger.execute("BEGIN IMMEDIATE")
        assert (await health.ready()).writes == "ok"
        with pytest.raises(DatabaseUnavailable):
            await database.write(write)
        readiness = await health.ready()
        assert (readiness.writes, readiness.cause) == ("refused", "database is locked")
        summary = await health.summary()
        assert (summary.status, summary.checks.database) == ("degraded", "read-only")
        stranger.execute("ROLLBACK")
        await database.rehearse(write)
        assert (await health.ready()).writes == "ok"

    try:
        asyncio.run(scenario())
    finally:
        stranger.close()


def test_refused_write_is_reported_only_for_a_short_time(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.kit.database.REFUSED_FOR", 0.1)
    monkeypatch.setattr(database, "_refused", (time.monotonic(), "database is locked"))
    assert database.refuses_writes()
    time.sleep(0.15)
    assert asyncio.run(Health(database, Cache(settings)).ready()).writes == "ok"


@pytest.mark.parametrize("who", ["readers", "writer"])
def test_stuck_threads_make_the_replica_not_ready(settings: Settings, database: Database, who: str) -> None:
    gate = threading.Event()
    run, number = (database.read, 2) if who == "readers" else (database.write, 1)
    health = Health(database, Cache(settings))

    def hang(_: Session) -> None:
        gate.wait(20)  # neither a query nor a lock, so it cannot be interrupted

    async def scenario() -> None:
        await health.ready()
        await asyncio.gather(*(stuck(hang, run) for _ in range(number)))
        await asyncio.sleep(0.7)
        started = time.monotonic()
        with pytest.raises(NotReady):
            await health.ready()
        assert time.monotonic() - started < 3
        assert (await health.summary()).status == "unavailable"
        gate.set()
        await asyncio.sleep(CACHE_SECONDS + 0.1)
        await health.ready()

    try:
        asyncio.run(scenario())
    finally:
        gate.set()


def test_simultaneous_requests_share_one_check(settings: Settings, database: Database) -> None:
    health = Health(database, Cache(settings))
    checks = 0
    check = database.check

    async def counted(*, within: float) -> None:
        nonlocal checks
        checks += 1
        await asyncio.sleep(0.05)
        await check(within=within)

    database.check = counted  # type: ignore[method-assign]

    async def scenario() -> None:
        await asyncio.gather(*(health.ready() for _ in range(100)), *(health.summary() for _ in range(100)))
        assert checks == 1
        await health.ready()
        assert checks == 1
        await asyncio.sleep(CACHE_SECONDS)
        await health.ready()
        assert checks == 2

    asyncio.run(scenario())


def test_cancelled_request_does_not_cancel_the_shared_check(settings: Settings, database: Database) -> None:
    health = Health(database, Cache(settings))

    async def scenario() -> None:
        cancelled, waiting = asyncio.create_task(health.ready()), asyncio.create_task(health.ready())
        await asyncio.sleep(0)
        cancelled.cancel()
        assert (await waiting).writes == "ok"

    asyncio.run(scenario())


def test_readiness_does_not_queue_behind_client_reads(settings: Settings, database: Database) -> None:
    health = Health(database, Cache(settings))

    async def scenario() -> None:
        reads = [asyncio.create_task(database.read(lambda _: time.sleep(0.01))) for _ in range(100)]
        await asyncio.sleep(0.02)
        await health.ready()
        assert not all(read.done() for read in reads)
        await asyncio.gather(*reads, return_exceptions=True)

    asyncio.run(scenario())


def test_draining_replica_is_not_ready(settings: Settings, database: Database) -> None:
    health = Health(database, Cache(settings))

    async def scenario() -> None:
        await health.ready()
        health.start_draining()
        with pytest.raises(NotReady):
            await health.ready()

    asyncio.run(scenario())
