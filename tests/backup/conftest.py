"""A service's directory with a live database, real restic repositories, and a `docker` that runs the API directly."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from cleaning_service_backup import repository as repository_module
from cleaning_service_backup.history import History
from cleaning_service_backup.place import Place
from cleaning_service_backup.repository import Repository
from cleaning_service_backup.settings import Keep, RepositorySettings, Settings
from cleaning_service_backup.status import Status
from cleaning_service_backup.workshop import DATABASE
from cleaning_service_release import probes
from pysqlite3 import dbapi2
from sqlalchemy import make_url

from app.migrations.upgrade import migrate
from tests.backup.database import register
from tests.backup.fastkeys import KEY, quicken
from tests.backup.replicated import Host, make_image

ROOT = Path(__file__).parents[2]
COMPOSE = 'services:\n  api:\n    image: cleaning-service/api:1\n    user: "0:0"\n'
TOKEN = "token-of-the-env-file-that-a-backup-holds"
DOCKER = f"""#!/bin/sh
# A container that goes on running, or that is removed, is nothing here.
case "$1 $2" in "run --rm") exec {sys.executable} "$0.py" "$@" ;; esac
"""
CONTAINER = f"""
import os, sys
options = sys.argv[1:]
image = options.index("cleaning-service/api:1")
pairs = list(zip(options[:image], options[1:image]))
mounts = dict(reversed(value.rsplit(":", 1)) for option, value in pairs if option == "--volume")
os.environ.clear()
os.environ.update(value.split("=", 1) for option, value in pairs if option == "--env")
os.chdir(mounts["/data"])
sys.path[0] = {str(ROOT)!r}
from app.__main__ import main
sys.exit(main([each.replace("/copy/", mounts.get("/copy", "") + "/") for each in options[image + 1:]]))
"""


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """Keep the program's own umask and signal handler from the tests that come after in the same process."""
    umask, handler = os.umask(0o022), signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    os.umask(umask)


@pytest.fixture(autouse=True)
def _programs(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let `docker` be the fake, restic's cache be the test's own, and the started API be there."""
    if request.node.get_closest_marker("docker"):  # it needs the real one
        return
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    (programs / "docker.py").write_text(CONTAINER)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "byte-code"))
    monkeypatch.setattr(repository_module, "_CACHE", tmp_path / "cache")
    monkeypatch.setattr(probes, "send_request", lambda *_: probes.Response(200, ""))


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without backups, to be copied; `restic init` takes seconds to make its key slow to guess."""
    directory = tmp_path_factory.mktemp("restic") / "repository"
    quicken(directory)
    return directory


@pytest.fixture(scope="session")
def other_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another repository with the same key, to be copied."""
    directory = tmp_path_factory.mktemp("restic") / "repository"
    quicken(directory)
    return directory


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as `migrate --create` makes it, to be copied."""
    path = tmp_path_factory.mktemp("database") / DATABASE
    migrate(make_url(f"sqlite:///{path}"), create=True)
    return path


class Site:
    """One server's backups, with a local and a remote repository.

    Attributes:
        said: all lines that the program said.
    """

    def __init__(self, top: Path, empty_repository: Path, empty_database: Path) -> None:
        directory = top / "service"
        for place in ("releases", "proxy/config", "proxy/data", "redis/config", "data", "backup"):
            (directory / place).mkdir(parents=True)
        (directory / "docker-compose.stable.yml").write_text(COMPOSE)
        (directory / ".env").write_text(f"CANARY_TOKEN={TOKEN}\n")
        (directory / ".env").chmod(0o600)
        (directory / "releases" / "releases.jsonl").write_text("{}\n")
        (directory / "proxy" / "data" / "certificate").write_text("certificate")
        for name in ("local", "remote"):
            shutil.copytree(empty_repository, top / name)
        self.top = top
        self.said: list[str] = []
        self.settings = Settings(
            directory=directory,
            host="host",
            repositories=tuple(RepositorySettings(name, str(top / name)) for name in ("local", "remote")),
            keep=Keep(48, 14, 8, 12),
            check_mb=100,
            set_aside_keep=3,
            set_aside_mb=100,
            reserve_mb=1,
        )
        self.only("local")
        shutil.copy(empty_database, self.database)
        self.place.key_file.write_text(f"{KEY}\n")
        register(self.database, 3)
        # The API has it open: nobody else's last connection folds the log in.
        self.connection: Any = dbapi2.connect(self.database, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        register(self.database)

    def only(self, *names: str) -> None:
        """Let there be only these repositories."""
        found = tuple(RepositorySettings(name, str(self.top / name)) for name in names)
        self.use(replace(self.settings, repositories=found))

    def use(self, settings: Settings) -> None:
        """Let these be the settings from now on."""
        self.settings = settings
        self.place = Place(settings)
        self.database = self.place.layout.database
        self.history = History(settings, self.place, self.said.append)

    def write_settings(self) -> None:
        """Write backup.json as the playbook does."""
        settings = self.settings
        content = {
            "directory": str(settings.directory), "host": settings.host, "check_mb": settings.check_mb,
            "set_aside_keep": settings.set_aside_keep, "set_aside_mb": settings.set_aside_mb,
            "reserve_mb": settings.reserve_mb, "keep": asdict(settings.keep), "replica": None,
            "repositories": [{"name": each.name, "location": each.location} for each in settings.repositories],
        }  # fmt: skip
        (settings.directory / "backup.json").write_text(json.dumps(content))

    def repository(self, name: str = "local") -> Repository:
        """Return a repository of this server."""
        return next(each for each in self.history.repositories() if each.name == name)

    def status(self, name: str = "local") -> dict[str, Any]:
        """Return what is known of a repository."""
        return Status(self.place.status, self.settings).repository(name)

    def drills(self) -> list[dict[str, Any]]:
        """Return how the last drills went."""
        return list(Status(self.place.status, self.settings).read()["drills"])

    def files(self) -> dict[str, bytes]:
        """Return what the live database is made of.

        Another process reads it: one that closes a file gives up the locks that its SQLite holds on it.
        """
        found = (self.database, self.database.with_name(f"{DATABASE}-wal"))
        return {path.name: run(["cat", path], check=True, capture_output=True).stdout for path in found}

    def staged(self, *, change: Callable[[Path, dict[str, Any]], None] = lambda _path, _manifest: None) -> None:
        """Put a backup into the local repository that was changed after it was staged."""
        with self.place.emptied(self.place.staging) as staging:
            moment = self.history._stage(staging)
            manifest = json.loads((staging / "manifest.json").read_text())
            change(staging / DATABASE, manifest)
            (staging / "manifest.json").write_text(json.dumps(manifest))
            backups = self.repository().backups()
            self.repository().add(staging, moment, (backups[-1].sequence if backups else 0) + 1)


@pytest.fixture
def site(tmp_path: Path, empty_repository: Path, empty_database: Path) -> Iterator[Site]:
    """A server with one local repository, four accounts, and no backup yet."""
    made = Site(tmp_path, empty_repository, empty_database)
    yield made
    made.connection.close()


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """An image of Litestream's."""
    name = f"cleaning-service-test/replica:{os.getpid()}"  # each worker of the tests has its own
    make_image(name)
    yield name
    run(["docker", "image", "rm", name], capture_output=True, check=True)


@pytest.fixture
def host(tmp_path: Path, image: str, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose database is replicated."""
    made = Host(tmp_path, image, empty_database, monkeypatch)
    made.start()
    yield made
    made.end()


def packs(directory: Path) -> list[Path]:
    """Return the files of a repository that hold data."""
    return sorted(path for path in (directory / "data").rglob("*") if path.is_file())


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(content)
