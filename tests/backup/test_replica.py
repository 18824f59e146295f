"""The replica with the real Litestream: what it restores, and what it says of a far side that lacks something."""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from cleaning_service_backup import replica
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.replica import BeginAnewError, Replica
from cleaning_service_backup.settings import parse
from cleaning_service_release.layout import Layout
from pysqlite3 import dbapi2 as sqlite

from tests.backup.test_watch import SETTINGS

LITESTREAM = shutil.which("litestream", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "litestream"
CHECK = Path(__file__).parents[2] / "roles/stack/files/images/replica/check_sqlite.py"
NAME = "cleaning_service_stable.db"
USER = "10001:10001"


@pytest.fixture(autouse=True)
def _programs() -> None:
    """Leave all programs as they are: these tests need a real Docker."""


def check_sqlite() -> ModuleType:
    """The check that the image's build makes."""
    spec = importlib.util.spec_from_file_location("check_sqlite", CHECK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_sqlite_may_open_a_live_database() -> None:
    check = check_sqlite()
    assert check.sqlite_version(LITESTREAM) >= check.MINIMUM_VERSION


def test_a_version_with_an_older_sqlite_makes_no_image(tmp_path: Path) -> None:
    old = tmp_path / "litestream"
    # It restores a database whose header says 3.50.4.
    old.write_text('#!/bin/sh\n[ "$1" = replicate ] || printf "%096d\\0\\056\\212\\224" 0 >"$5"\n')
    old.chmod(0o755)
    ended = subprocess.run([sys.executable, CHECK, old], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "brings SQLite 3050132, and a live database needs 3051003" in ended.stderr


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """An image with Litestream and nothing else."""
    name = f"cleaning-service-test/replica:{os.getpid()}"  # each worker of the tests has its own
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(LITESTREAM, "usr/bin/litestream")
        folder = tarfile.TarInfo("tmp")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    changes = ('--change=ENTRYPOINT ["/usr/bin/litestream"]', "--change=ENV PATH=/usr/bin")
    subprocess.run(["docker", "import", *changes, "-", name], input=archive.getvalue(), capture_output=True, check=True)
    yield name
    subprocess.run(["docker", "image", "rm", name], capture_output=True, check=True)


class Host:
    """A service's directory with a database, which a container replicates into another directory."""

    def __init__(self, directory: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.image = image
        self.far = directory / "far"
        self.database = directory / "data" / NAME
        self.container = f"cleaning-service-test-replica-{os.getpid()}"
        monkeypatch.setattr(replica, "CONTAINER", self.container)
        for place in ("data", "far", "replica/state", "replica/config", "backup"):
            (directory / place).mkdir(parents=True)
            os.chown(directory / place, 10001, 10001)
        config = {
            "socket": {"enabled": True, "path": "/state/control.sock"},
            "dbs": [
                {
                    "path": f"/data/{NAME}",
                    "meta-path": "/state/database",
                    "monitor-interval": "100ms",
                    "replica": {"type": "file", "path": "/replica", "sync-interval": "100ms"},
                }
            ],
        }
        (directory / "replica/config/litestream.yml").write_text(json.dumps(config))
        found = {"image": image, "user": USER, "directory": str(self.far)}
        settings = parse({**SETTINGS, "directory": str(directory), "replica": found})
        self.replica = Replica(settings, Layout(directory))
        self.create()

    def create(self) -> None:
        """Make an empty database."""
        with sqlite.connect(str(self.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE booking (id INTEGER PRIMARY KEY)")
        connection.close()
        self.own()

    def own(self) -> None:
        """Give the database's files to the containers' user."""
        for file in self.database.parent.iterdir():
            os.chown(file, 10001, 10001)

    def book(self) -> int:
        """Write a booking, as another process; returns how many there are."""
        connection = sqlite.connect(str(self.database))
        with connection:
            connection.execute("INSERT INTO booking DEFAULT VALUES")
        count = connection.execute("SELECT count(*) FROM booking").fetchone()[0]
        connection.close()
        self.own()
        return int(count)

    def docker(self, *arguments: str) -> None:
        """Run a command of Docker's."""
        subprocess.run(["docker", *arguments], capture_output=True, check=True)

    def start(self) -> None:
        """Begin (anew), as the entry point of the role's compose file does."""
        self.end()
        shutil.rmtree(self.directory / "replica/state/database", ignore_errors=True)
        found = self.database.stat()
        (self.directory / "replica/state/replicated").write_text(f"{found.st_dev} {found.st_ino}\n")
        volumes = {"data": "/data", "far": "/replica", "replica/state": "/state", "replica/config": "/etc/litestream"}
        command = [
            *("--user", USER, "--read-only", "--tmpfs=/tmp", "--network=none"),
            *(f"--volume={self.directory}/{source}:{target}" for source, target in volumes.items()),
            *(self.image, "replicate", "-no-expand-env", "-config", "/etc/litestream/litestream.yml"),
        ]
        self.docker("run", "--rm", *command, "-once", "-force-snapshot")
        self.docker("run", "--detach", "--name", self.container, *command)
        self.settled()

    def settled(self) -> int:
        """Wait until all is at the far side; the last transaction."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(BackupError):
                return self.replica.confirm()
            time.sleep(0.1)
        return self.replica.confirm()

    def end(self) -> None:
        """Remove the container."""
        subprocess.run(["docker", "rm", "--force", self.container], capture_output=True, check=False)


@pytest.fixture
def host(tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose database is replicated."""
    host = Host(tmp_path, image, monkeypatch)
    host.start()
    yield host
    host.end()


def bookings(database: Path) -> int:
    connection = sqlite.connect(f"file:{database}?mode=ro", uri=True)
    (count,) = connection.execute("SELECT count(*) FROM booking").fetchone()
    connection.close()
    return int(count)


@pytest.mark.docker
def test_it_restores_the_newest_state_and_earlier_ones_with_nothing_but_the_address(host: Host, tmp_path: Path) -> None:
    for _ in range(3):
        host.book()
    host.settled()
    middle = time.time()
    time.sleep(1.1)  # moments are told in whole seconds
    host.book()
    host.settled()
    host.end()  # the server is gone
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "replica/state")

    moment = host.replica.restore(tmp_path / "newest", time.time())
    assert bookings(tmp_path / "newest") == 4
    assert middle - 1 < moment <= time.time()
    host.replica.restore(tmp_path / "earlier", middle)
    assert bookings(tmp_path / "earlier") == 3
    with pytest.raises(BackupError, match="no matching backup files"):
        host.replica.restore(tmp_path / "too-early", middle - 3600)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.docker
def test_a_restored_database_goes_on_behind_the_history_of_before(host: Host, tmp_path: Path) -> None:
    host.book()
    host.settled()
    earlier = time.time()
    time.sleep(1.1)
    host.book()
    host.settled()
    later = time.time()
    time.sleep(1.1)
    host.end()
    host.replica.restore(tmp_path / "restored", earlier)
    for file in (tmp_path / "data").iterdir():
        file.unlink()
    (tmp_path / "restored").rename(host.database)
    host.start()
    host.book()
    assert host.book() == 3
    host.settled()
    for name, at, count in (("first", earlier, 1), ("second", later, 2), ("third", time.time(), 3)):
        host.replica.restore(tmp_path / name, at)
        assert bookings(tmp_path / name) == count
    host.replica.require_restorable(host.replica.confirm())


@pytest.mark.docker
def test_it_writes_over_nothing(host: Host, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="never writes over a file"):
        host.replica.restore(host.database)
    host.replica.restore(tmp_path / "new")
    assert (tmp_path / "new").stat().st_uid == 10001


@pytest.mark.docker
def test_files_that_are_gone_at_the_far_side_are_missed(host: Host) -> None:
    host.book()
    host.replica.require_restorable(host.settled())
    for gone in ("ltx", "ltx/9"):
        shutil.rmtree(host.far / gone)
        host.book()
        transaction = host.settled()  # Litestream itself notices nothing
        with pytest.raises(BeginAnewError, match="cannot be restored"):
            host.replica.require_restorable(transaction)
        host.start()
        host.replica.require_restorable(host.settled())


@pytest.mark.docker
def test_one_that_stands_still_does_not_count_as_up_to_date(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "_ANSWER", 1)
    host.docker("pause", host.container)
    with pytest.raises(BeginAnewError, match="does not answer"):
        host.replica.confirm()
    host.docker("unpause", host.container)
    host.settled()


@pytest.mark.docker
def test_a_far_side_that_cannot_be_written_is_told(host: Host) -> None:
    (host.far / "ltx").rename(host.far / "away")
    (host.far / "ltx").touch()
    host.book()
    with pytest.raises(BackupError, match="has not taken the last writes") as raised:
        host.replica.confirm()
    assert not isinstance(raised.value, BeginAnewError)
    (host.far / "ltx").unlink()
    (host.far / "away").rename(host.far / "ltx")
    host.replica.require_restorable(host.settled())


@pytest.mark.docker
def test_another_file_at_the_path_is_noticed_and_replicated_after_a_restart(host: Host) -> None:
    assert not host.replica.exchanged()
    host.database.rename(host.database.with_name("before"))
    for suffix in ("-wal", "-shm"):
        host.database.with_name(f"{NAME}{suffix}").unlink()
    assert not host.replica.exchanged()  # there is nothing to begin with
    host.create()
    assert host.replica.exchanged()
    assert host.replica.restart()
    host.end()
    assert not host.replica.restart()
    assert host.replica.backlog() > 0


def test_a_service_without_a_replica_has_none(tmp_path: Path) -> None:
    settings = parse({**SETTINGS, "directory": str(tmp_path)})
    with pytest.raises(BackupError, match="backup_replica"):
        Replica(settings, Layout(tmp_path))
