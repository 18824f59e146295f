"""An API that sends e-mail. The tests read the messages in the outbox."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pysqlite3 import dbapi2

from tests.app.conftest import API_SETTINGS, RunningApi, api_server, environment_of, free_port, redis_server

CODE = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


def rows(api: RunningApi, query: str, *values: object) -> list[tuple[object, ...]]:
    """Run a statement on the database, commit it and return its rows."""
    connection = dbapi2.connect(api.server.database, timeout=20)
    try:
        with connection:
            found: list[tuple[object, ...]] = connection.execute(query, values).fetchall()
        return found
    finally:
        connection.close()


def templates(api: RunningApi, email: str) -> list[object]:
    """Templates of all messages to the address, in order of time."""
    query = "SELECT template FROM outbox_message WHERE recipient = ? ORDER BY created_at"
    return [row[0] for row in rows(api, query, email)]


def code(api: RunningApi, email: str, template: str) -> str:
    """The code in the newest message to the address from this template."""
    query = "SELECT body FROM outbox_message WHERE recipient = ? AND template = ? ORDER BY created_at DESC"
    found = CODE.search(str(rows(api, query, email, template)[0][0]))
    assert found is not None
    return found.group()


@pytest.fixture(scope="session")
def verifying_api(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[RunningApi]:
    """An API that requires verified addresses. Its mail server does not exist, so messages stay in the outbox."""
    directory = tmp_path_factory.mktemp("post")
    shutil.copy(migrated, directory / "test.db")
    settings = API_SETTINGS | {
        "EMAIL_VERIFICATION_REQUIRED": "true",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(free_port()),
        "MAIL_FROM": "bookings@example.com",
        "PUBLIC_URL": "https://example.com",
    }
    with (
        redis_server(directory) as redis,
        api_server(directory, environment_of(directory, redis) | settings) as server,
        ExitStack() as clients,
    ):
        yield RunningApi(server, clients)
