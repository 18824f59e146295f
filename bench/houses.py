"""The API under measurement, with real files and a real Redis, and the bare framework beside it."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import make_url

from app.migrations.upgrade import migrate
from tests.app.conftest import ROOT, api_server, ended, environment_of, free_port, redis_server

START_TIMEOUT = 30.0  # seconds
UNLIMITED = {
    "REQUESTS_PER_MINUTE_PER_ADDRESS": "10000000",
    "REQUESTS_PER_MINUTE_PER_ACCOUNT": "10000000",
    "REGISTRATIONS_PER_MINUTE": "1000000",
}
"""One address sends all the load."""


@contextmanager
def empty_database() -> Iterator[Path]:
    """A database of the newest schema without rows, in a directory of its own that goes with it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        path = Path(directory) / "test.db"
        migrate(make_url(f"sqlite:///{path}"), create=True)
        yield path


@contextmanager
def api(database: Path, **settings: str) -> Iterator[int]:
    """Run the API on the database; yields its port."""
    directory = database.parent
    with (
        redis_server(directory) as redis,
        api_server(directory, environment_of(directory, redis) | UNLIMITED | settings) as server,
    ):
        yield int(server.url.rpartition(":")[2])


@contextmanager
def company(**settings: str) -> Iterator[int]:
    """Run the API of the company that `make seed` makes; yields its port."""
    with empty_database() as database:
        with redis_server(database.parent) as redis:
            environment = environment_of(database.parent, redis)
            subprocess.run([sys.executable, "-m", "app", "seed"], env=environment, check=True, capture_output=True)
        with api(database, **settings) as port:
            yield port


@contextmanager
def bare() -> Iterator[int]:
    """Run the framework alone; yields its port."""
    port = free_port()
    with ended(subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)], cwd=ROOT)):
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port


def log_in(port: int, email: str, password: str) -> str:
    """Return an access token."""
    credentials = {"email": email, "password": password}
    answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/auth/login", json=credentials, timeout=30, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])
