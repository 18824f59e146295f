"""Real services for the tests: a SQLite file, a redis-server, and the API in its own process."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2
from sqlalchemy import make_url
from sqlmodel import Session, create_engine

from app.migrations.upgrade import migrate
from tests.app.people import Person, sign_in

ROOT = Path(__file__).parents[2]
SECRET_KEY = "secret-key-of-the-tests-0123456789ab"
CANARY_TOKEN = "canary-token-of-the-tests-0123456789"
START_TIMEOUT = 100.0  # seconds; long enough for a busy machine, because the benchmarks measure the start


def free_port() -> int:
    """Return an unused TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_user() -> dict[str, str]:
    """Return the body of a registration with a new address."""
    return {"email": f"u{secrets.token_hex(8)}@example.com", "password": "correct horse battery", "full_name": "Ann"}


@dataclass
class Redis:
    """A running redis-server."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        """Value of REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}"


@dataclass
class Server:
    """A running API."""

    process: subprocess.Popen[bytes]
    url: str
    database: Path
    log: Path

    socket_file: Path | None = None
    """The Unix socket on which it listens instead of TCP. `url` then only completes the paths of requests."""

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        """Return a new client that sends these headers with each request. The caller must close it."""
        socket_file = str(self.socket_file) if self.socket_file else None
        transport = httpx.HTTPTransport(uds=socket_file)
        return httpx.Client(base_url=self.url, timeout=40, trust_env=False, transport=transport, headers=headers)

    def connect(self) -> socket.socket:
        """Open a connection."""
        if self.socket_file is None:
            return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=10)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        try:
            connection.connect(str(self.socket_file))
        except OSError:
            connection.close()
            raise
        return connection

    def rows(self) -> int:
        """Return the number of accounts in the database."""
        connection = dbapi2.connect(self.database)
        try:
            return int(connection.execute("SELECT count(*) FROM user_account").fetchone()[0])
        finally:
            connection.close()


API_SETTINGS = {"BUSINESS_TIMEZONE": "Europe/Berlin", "REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000"}


class RunningApi:
    """A running API, its clients and its users."""

    def __init__(self, server: Server, clients: ExitStack) -> None:
        self.server = server
        self._clients = clients
        self.anonymous = self.client()
        """A client that is not signed in."""

    @property
    def database(self) -> Path:
        """The database file."""
        return self.server.database

    def client(self) -> httpx.Client:
        """Return a new client that is not signed in."""
        return self._clients.enter_context(httpx.Client(base_url=self.server.url, timeout=40, trust_env=False))

    def person(self, role: str = "client") -> Person:
        """Register a new user with this role, and sign in."""
        return sign_in(self.client(), self.server.database, new_user(), role)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process at the end of the block, even a stopped one."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def redis_server(directory: Path) -> Iterator[Redis]:
    """Run an empty Redis with its files in `directory`."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    with (directory / "redis.log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    with ended(process):
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (directory / "redis.log").read_text()
                time.sleep(0.05)
        yield Redis(process, port)


WITHOUT_COVERAGE = {"COVERAGE_PROCESS_CONFIG": ""}
"""Environment that turns off coverage, for processes that only repeat the same code."""


def environment_of(directory: Path, redis: Redis) -> dict[str, str]:
    """The environment of an API whose database is in `directory`."""
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return coverage | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"sqlite:///{directory}/test.db",
        "REDIS_URL": redis.url,
        "SECRET_KEY": SECRET_KEY,
        "CANARY_TOKEN": CANARY_TOKEN,
        "HOST": "127.0.0.1",
    }


@contextmanager
def api_server(directory: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Run `python -m app serve` and wait until it is ready."""
    port = free_port()
    log = directory / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"],
            env=environment | {"PORT": str(port)},
            cwd=directory,
            stdout=out,
            stderr=out,
        )
    socket_file = environment.get("SOCKET_FILE")
    server = Server(
        process,
        f"http://127.0.0.1:{port}",
        directory / "test.db",
        log,
        Path(socket_file) if socket_file else None,
    )
    with ended(process):
        deadline = time.monotonic() + START_TIMEOUT
        with server.client() as client:
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                try:
                    server.connect().close()  # httpx does not close a Unix socket that it could not connect
                    if client.get("/health/ready").status_code == 200:
                        break
                except (OSError, httpx.TransportError):
                    pass
                time.sleep(0.05)
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """An empty Redis."""
    with redis_server(tmp_path) as redis:
        yield redis


@pytest.fixture
def environment(tmp_path: Path, redis: Redis) -> dict[str, str]:
    """The environment of an API with the files and the Redis of this test."""
    return environment_of(tmp_path, redis)


Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the newest schema, to copy."""
    path = tmp_path_factory.mktemp("migrated") / "test.db"
    migrate(make_url(f"sqlite:///{path}"), create=True)
    return path


@pytest.fixture
def serve(tmp_path: Path, environment: dict[str, str], migrated: Path) -> Iterator[Serve]:
    """Return a function that starts an API with additional settings and waits until it is ready."""
    shutil.copy(migrated, tmp_path / "test.db")
    with ExitStack() as started:
        yield lambda **settings: started.enter_context(api_server(tmp_path, environment | settings))


@pytest.fixture
def server(serve: Serve) -> Server:
    """An API with the default settings."""
    return serve()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that API."""
    with httpx.Client(base_url=server.url, timeout=40, trust_env=False) as client:
        yield client


@contextmanager
def run_api(directory: Path, migrated: Path, settings: dict[str, str] | None = None) -> Iterator[RunningApi]:
    """Run an API with its files in `directory`."""
    shutil.copy(migrated, directory / "test.db")
    with (
        redis_server(directory) as redis,
        api_server(directory, environment_of(directory, redis) | API_SETTINGS | (settings or {})) as server,
        ExitStack() as clients,
    ):
        yield RunningApi(server, clients)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[RunningApi]:
    """One API for all tests that register their own users and need no special settings."""
    with run_api(tmp_path_factory.mktemp("api"), migrated) as api:
        yield api


@pytest.fixture
def session(tmp_path: Path, migrated: Path) -> Iterator[Session]:
    """A session on a database of the newest schema."""
    path = tmp_path / "test.db"
    path.write_bytes(migrated.read_bytes())
    engine = create_engine(f"sqlite+pysqlite:///{path}")
    with Session(engine) as session:
        yield session
    engine.dispose()
