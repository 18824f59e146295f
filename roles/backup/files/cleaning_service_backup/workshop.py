"""The API's own image at work on a database without a network: copying, examining, migrating, rehearsing.

Only the SQLite of that image opens a database of the service.
"""

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.commands import CommandError, run_command
from cleaning_service_release import owners, probes
from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.journal import api_image
from cleaning_service_release.layout import Layout

from cleaning_service_backup.errors import BackupError

DATABASE = "cleaning_service_stable.db"
CONTAINERS = ("cleaning_service_backup", "cleaning_service_rehearsal")
"""Names of the containers that work here; each ends with what it was started for."""
_WORK, _REHEARSAL = CONTAINERS
_SOCKET = "rehearsal.sock"
_QUICK = 60.0  # seconds
_LONG = 3600.0  # seconds for reading or copying a whole database
_START = 300.0  # seconds in which the API has to be ready on a restored database
_LOOK = 0.2  # seconds between two looks
_COMPOSE_FILE = "docker-compose.stable.yml"


class Workshop:
    """Works with the API's image.

    Args:
        layout: of the service.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        try:
            self.user, self.group = owners.user_of(layout)
        except ReleaseError as error:
            raise BackupError(str(error)) from error

    def copy(self, target: Path) -> dict[str, Any]:
        """Copy the live database into a directory, gently; returns what `app snapshot --json` tells of it.

        Raises:
            BackupError: there is no copy.
        """
        self._give(target)
        mounts = {self._layout.database.parent: "/data", target: "/copy"}
        return dict(json.loads(self._run(mounts, "snapshot", "--gently", "--json", f"/copy/{DATABASE}")))

    def examine(self, directory: Path, numbers: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Read all of the database in a directory; returns what `app check-database --json` tells.

        Args:
            directory: with the database.
            numbers: of a row of each table of which it is to tell when this row and the next one were made.

        Raises:
            BackupError: it cannot be read.
        """
        asked = [part for table, number in (numbers or {}).items() for part in ("--row", f"{table}:{number}")]
        self._give(directory)
        try:
            said = self._run({directory: "/data"}, "check-database", "--json", *asked)
        except _FailedError as error:
            said = error.output  # of a database that is not sound, it tells the same, and fails
        try:
            return dict(json.loads(said.strip().splitlines()[-1]))
        except (ValueError, IndexError) as error:
            raise BackupError(f"the database cannot be read: {said.strip()[-300:] or 'no answer'}") from error

    def migrate(self, directory: Path) -> None:
        """Bring the schema of the database in a directory up to date.

        Raises:
            BackupError: that failed.
        """
        self._give(directory)
        self._run({directory: "/data"}, "migrate")

    def rehearse(self, directory: Path) -> None:
        """Start the API on the database in a directory, and have it register somebody, which it takes back.

        Raises:
            BackupError: it does not start, or cannot register anybody.
        """
        token = secrets.token_hex(24)
        url = f"unix:{directory / _SOCKET}"
        _remove(_REHEARSAL)
        self._give(directory)
        try:
            self._docker(
                *("run", "--detach", "--name", _REHEARSAL),
                *self._settings({directory: "/data"}, {"CANARY_TOKEN": token, "SOCKET_FILE": f"/data/{_SOCKET}"}),
                timeout=_QUICK,
            )
            self._await_ready(url)
            probes.run_canary(_REHEARSAL, url, token)
        except ReleaseError as error:
            raise BackupError(f"the API does not work with it: {error}") from error
        finally:
            _remove(_REHEARSAL)

    def _await_ready(self, url: str) -> None:
        deadline = time.monotonic() + _START
        while (answer := probes.send_request(url, "/health/ready")).status != 200:  # noqa: PLR2004
            running = self._docker(*("ps", "--quiet", "--filter", f"name=^{_REHEARSAL}$"), timeout=_QUICK).strip()
            if not running or time.monotonic() > deadline:
                said = self._docker("logs", "--tail", "3", _REHEARSAL, timeout=_QUICK, errors=True).strip()
                raise BackupError(f"the API is not ready with it ({answer.status or 'no answer'}): {said[-300:]}")
            time.sleep(_LOOK)

    def _image(self) -> str:
        image = api_image(self._layout.directory) or api_image(self._layout.wanted)
        if not image:
            raise BackupError(f"{self._layout.directory} has no {_COMPOSE_FILE}: run the playbook site.yml")
        return image

    def _settings(self, mounts: Mapping[Path, str], environment: Mapping[str, str]) -> list[str]:
        """Return the arguments of `docker run`, with the image: as little as it takes, after everybody else's needs."""
        variables = {
            "DATABASE_URL": f"sqlite:///./{DATABASE}",
            "LOG_FILE": "",
            # Of nobody: it signs nothing that anybody sees.
            "SECRET_KEY": secrets.token_hex(24),
            "CANARY_TOKEN": secrets.token_hex(24),
            **environment,
        }
        return [
            *("--pull", "never", "--init", "--network", "none", "--read-only", "--tmpfs", "/tmp:size=16m"),  # noqa: S108
            *("--user", f"{self.user}:{self.group}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--memory", "256m", "--pids-limit", "128", "--cpu-shares", "64", "--log-driver", "json-file"),
            *(argument for source, place in mounts.items() for argument in ("--volume", f"{source}:{place}")),
            *(argument for name, value in variables.items() for argument in ("--env", f"{name}={value}")),
            self._image(),
        ]

    def _run(self, mounts: Mapping[Path, str], *arguments: str) -> str:
        _remove(_WORK)
        try:
            return self._docker(
                *("run", "--rm", "--name", _WORK), *self._settings(mounts, {}), *arguments, timeout=_LONG
            )
        finally:
            _remove(_WORK)

    def _docker(self, *arguments: str, timeout: float, errors: bool = False) -> str:
        try:
            return run_command(["docker", *arguments], timeout, with_stderr=errors)
        except CommandError as error:
            raise _FailedError(error) from error

    def _give(self, directory: Path) -> None:
        """Give the containers' user a directory with its database."""
        os.chown(directory, self.user, self.group)
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
            if (directory / name).exists():
                os.chown(directory / name, self.user, self.group, follow_symlinks=False)


class _FailedError(BackupError):
    """A command of Docker failed."""

    def __init__(self, error: CommandError) -> None:
        lines = [line for line in error.output.splitlines() if line.strip()]
        super().__init__(re.sub(r"^No snapshot was taken: ", "", lines[-1]) if lines else error.reason.split("`")[-1])
        self.output = error.output


def _remove(name: str) -> None:
    """Remove a container of this program, running or not; a killed one of an earlier run, for instance."""
    with contextlib.suppress(CommandError):
        run_command(["docker", "rm", "--force", "--volumes", name], _QUICK)


def clear() -> None:
    """Remove what a program that was killed has left running."""
    for name in CONTAINERS:
        _remove(name)
