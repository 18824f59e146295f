"""Permissions: every operation, called by every role on own and other objects, returns the status of docs/api.md."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.app.conftest import ROOT, RunningApi, run_api
from tests.app.operations import OPERATIONS, World

MAIL = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "MAIL_FROM": "office@example.com"}
"""A mail server that does not exist, so messages stay in the outbox."""
TABLE = re.compile(r"^\| `(\w+)` \|(.*)\|$", re.MULTILINE)
COLUMNS = ["nobody", "client", "other client", "cleaner", "other cleaner", "manager", "admin"]


def documented() -> dict[str, dict[str, int]]:
    """The table of docs/api.md: status by operation and column."""
    rows = TABLE.findall((ROOT / "docs" / "api.md").read_text())
    return {name: dict(zip(COLUMNS, (int(cell) for cell in cells.split("|")), strict=True)) for name, cells in rows}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated: object) -> Iterator[World]:
    """A company for the tests of this module."""
    with run_api(tmp_path_factory.mktemp("roles"), migrated, MAIL) as api:  # type: ignore[arg-type]
        yield World(api)


def answers(world: World, operation: str) -> dict[str, httpx.Response]:
    """Send the operation as each caller, each time on a new object."""
    found = {}
    for column, person in world.callers().items():
        world.acting = person
        call = OPERATIONS[operation](world)
        caller = world.api.person(person.role) if person and call.needs_new_caller else person
        found[column] = call.send(world.http, world.token(caller) if caller else None)
    return found


def test_table_has_every_operation(api: RunningApi) -> None:
    paths = api.anonymous.get("/openapi.json").json()["paths"]
    operations = {each["operationId"] for path in paths.values() for each in path.values()}
    assert documented().keys() == operations == OPERATIONS.keys()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_role_gets_the_documented_status(world: World, operation: str) -> None:
    found = answers(world, operation)
    statuses = {column: answer.status_code for column, answer in found.items()}
    assert statuses == documented()[operation], {column: answer.text for column, answer in found.items()}
