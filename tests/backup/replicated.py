"""A host whose database the real Litestream replicates, in a container and configured as the role does it."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cleaning_service_backup import replica
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.replica import Replica
from cleaning_service_backup.settings import parse
from cleaning_service_release.layout import Layout
from pysqlite3 import dbapi2

from tests.backup.database import accounts, register
from tests.backup.test_watch import SETTINGS
from tests.settings_check.test_matrix import controller

LITESTREAM = shutil.which("litestream", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "litestream"
NAME = "cleaning_service_stable.db"
USER = "10001:10001"


def make_image(name: str) -> None:
    """Make an image with Litestream and nothing else."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(LITESTREAM, "usr/bin/litestream")
        folder = tarfile.TarInfo("tmp")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    changes = ('--change=ENTRYPOINT ["/usr/bin/litestream"]', "--change=ENV PATH=/usr/bin")
    subprocess.run(["docker", "import", *changes, "-", name], input=archive.getvalue(), capture_output=True, check=True)


class Host:
    """A service's directory with a database, which a container replicates into another directory.

    Args:
        directory: of the service.
        image: of Litestream.
        empty: a database without accounts, which is copied.
        monkeypatch: for the name of the container.
    """

    def __init__(self, directory: Path, image: str, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.image = image
        self.far = directory / "far"
        self.database = directory / "data" / NAME
        self.container = f"cleaning-service-test-replica-{os.getpid()}"
        self._empty = empty
        monkeypatch.setattr(replica, "CONTAINER", self.container)
        for place in ("data", "far", "replica/state", "replica/config", "backup"):
            (directory / place).mkdir(parents=True)
            os.chown(directory / place, 10001, 10001)
        variables = {**controller().defaults, "backup_replica": "/replica"}
        (directory / "replica/config/litestream.yml").write_text(
            controller().file("backup", "litestream.yml.j2", variables)
        )
        found = {"image": image, "user": USER, "directory": str(self.far)}
        self.settings = parse({**SETTINGS, "directory": str(directory), "replica": found})
        self.layout = Layout(directory)
        self.replica = Replica(self.settings, self.layout)
        self.create()

    def create(self) -> None:
        """Make a database without accounts."""
        shutil.copyfile(self._empty, self.database)
        with contextlib.closing(dbapi2.connect(self.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        self.own()

    def own(self) -> None:
        """Give the database's files to the containers' user."""
        for file in self.database.parent.iterdir():
            os.chown(file, 10001, 10001)

    def register(self) -> int:
        """Add an account, as another process; returns how many there are."""
        register(self.database)
        self.own()
        return accounts(self.database)

    def docker(self, *arguments: str) -> None:
        """Run a command of Docker's."""
        subprocess.run(["docker", *arguments], capture_output=True, check=True)

    def start(self, between: Callable[[], object] = lambda: None) -> None:
        """Begin (anew), as the entry point of the role's compose file does.

        Args:
            between: called after the whole copy, before Litestream goes on.
        """
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
        files = sorted(path.name for path in (self.directory / "replica/state/database/ltx/0").iterdir())
        (self.directory / "replica/state/copied").write_text("\n".join(files))
        between()
        self.docker("run", "--detach", "--name", self.container, *command)
        self.settled()

    def settled(self, within: float = 20.0) -> int:
        """Wait until all is at the far side, at most so many seconds; returns the last transaction."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            with contextlib.suppress(BackupError):
                return self.replica.confirm()
            time.sleep(0.1)
        return self.replica.confirm()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Have the far side refuse everything meanwhile."""
        mode = self.far.stat().st_mode
        self.far.chmod(0)
        try:
            yield
        finally:
            self.far.chmod(mode)

    def end(self) -> None:
        """Remove the container."""
        subprocess.run(["docker", "rm", "--force", self.container], capture_output=True, check=False)
