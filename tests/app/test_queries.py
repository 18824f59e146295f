"""Every statement of the API finds its rows through an index, so that large tables do not slow it down."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pysqlite3 import dbapi2
from sqlalchemy import Engine, event

from app.main import create_app
from app.settings import load_settings
from tests.app.conftest import Redis, RunningApi, environment_of, free_port
from tests.app.operations import API, OPERATIONS, Call, World
from tests.app.people import Person
from tests.app.test_roles import MAIL, documented

SMALL = {"alembic_version", "cleaning_service"}
"""Tables that stay small. The number of services is limited, and they are listed completely."""
SCAN = re.compile(r"SCAN (\w+)")
FURTHER_QUERIES = (
    "/users", "/users?role=client", "/users?is_active=true", "/users?role=client&is_active=true", "/users?q=ann",
    "/office/bookings", "/office/bookings?state=assigned", "/office/bookings?cleaner_id={cleaner}",
    "/office/bookings?client_id={client}", "/office/bookings?client_id={client}&state=assigned",
    "/office/bookings?cleaner_id={cleaner}&from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z",
    "/office/bookings?state=completed&from=2026-01-01T00:00:00Z", "/office/bookings?from=2026-01-01T00:00:00Z",
    "/office/bookings?cover=missing", "/office/bookings?cover=missing&state=confirmed",
    "/office/bookings?cover=missing&client_id={client}",
    "/availability?date={day}&duration_minutes=60&address=Street%201",
    "/office/bookings?state=completed&state=no_show",
    "/office/bookings?client_id={client}&state=completed&state=no_show",
    "/office/notifications?state=sent&state=dead", "/office/audit?action=login.succeeded&action=role.changed",
    "/office/notifications", "/office/audit", "/office/audit?actor_id={client}", "/office/audit?subject_id={client}",
    "/office/audit?actor_id={client}&action=login.succeeded",
)  # fmt: skip
"""Filters of lists that OPERATIONS does not cover."""


@dataclass
class ApiAddress:
    """The address and the database of an API."""

    url: str
    database: Path


@contextmanager
def in_this_process(database: Path) -> Iterator[RunningApi]:
    """Run the API in a thread of this process, where the test can record its statements."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(load_settings()), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        with ExitStack() as clients:
            yield RunningApi(ApiAddress(f"http://127.0.0.1:{port}", database), clients)  # type: ignore[arg-type]
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def statements() -> Iterator[set[str]]:
    """All statements that run on the database during the test, with their values."""
    found: set[str] = set()

    def record(statement: str) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            found.add(statement)

    def listen(connection: Any, _: object) -> None:  # noqa: ANN401  # the driver has no types
        connection.set_trace_callback(record)

    event.listen(Engine, "connect", listen)
    yield found
    event.remove(Engine, "connect", listen)


def plans(database: Path, statements: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Each statement with the lines of its query plan."""
    connection = dbapi2.connect(database)
    for statement in sorted(statements):
        yield statement, [line for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    connection.close()


def is_quick(statement: str, plan: list[str]) -> bool:
    """Whether a statement finds its rows through an index, or reads one page in the order of an index."""
    scans = {scan[1] for line in plan if (scan := SCAN.match(line))} - SMALL - {"CONSTANT"}
    sorts = any("ORDER BY" in line for line in plan)
    first_page = "LIMIT" in statement and "WHERE" not in statement and not sorts
    return not scans or first_page


def allowed_caller(world: World, operation: str) -> Person | None:
    """Return a caller for whom the operation succeeds; None for a public operation."""
    statuses = documented()[operation]
    return next(person for column, person in world.callers().items() if statuses[column] < 300)


def test_every_statement_uses_an_index(
    tmp_path: Path, redis: Redis, migrated: Path, monkeypatch: pytest.MonkeyPatch, statements: set[str]
) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    for name, value in (environment_of(tmp_path, redis) | MAIL).items():
        monkeypatch.setenv(name, value)
    with in_this_process(tmp_path / "test.db") as api:
        world = World(api)
        day = world.next_start().date()
        for operation, build in OPERATIONS.items():
            world.acting = allowed_caller(world, operation)
            call = build(world)
            caller = api.person(world.acting.role) if world.acting and call.needs_new_caller else world.acting
            answer = call.send(world.http, world.token(caller) if caller else None)
            assert answer.status_code < 300, (operation, answer.text)
        for template in FURTHER_QUERIES:
            path = template.format(client=world.client.id, cleaner=world.cleaner.id, day=day)
            answer = Call("GET", API + path).send(world.http, world.token(world.admin))
            assert answer.status_code == 200, (path, answer.text)
    assert len(statements) > 100
    slow = [plan for plan in plans(tmp_path / "test.db", statements) if not is_quick(*plan)]
    assert not slow, "\n\n".join(f"{statement}\n{plan}" for statement, plan in slow)
