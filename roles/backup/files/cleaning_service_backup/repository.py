"""One history: a restic repository, on this server or elsewhere."""

import json
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cleaning_service_host.commands import CommandContext, CommandError, run_command

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.settings import Keep, RepositorySettings

QUICK = 120.0  # seconds for what only looks; a far side that is away is given up after them
LONG = 6 * 3600.0  # seconds for what moves data
_OURS = re.compile(r"sequence=(\d+),moment=(\d+\.\d+)")
_WRONG_KEY = "wrong password or no key found"
_TELLING = (
    "wrong password", "error", "unable", "failed", "refused", "denied", "no space", "damaged", "locked",
    "does not match", "does not exist",
)  # fmt: skip
_RETRY = re.compile(r'^.*retrying after \S+: (?:\w+ "[^"]*": )?')  # restic's words before the reason why it tries again
_BY_NETWORK = re.compile(r"(?:rest|s3):(https?://[^/]+)")
_PORTS = {"http": 80, "https": 443}
_CONNECT = 10.0  # seconds for a connection
_CONNECTS = 3
_PAUSE = 2.0  # seconds between two of them
_CACHE = Path("/var/cache/cleaning-service-backup")


@dataclass(frozen=True)
class Backup:
    """One backup in a repository.

    Attributes:
        repository: its name.
        id: by which restic knows it.
        moment: that its data are of, in seconds since the epoch, by the clock of then.
        sequence: its place among all of the repository; clocks may have been wrong.
    """

    repository: str
    id: str
    moment: float
    sequence: int


class Repository:
    """A history.

    Args:
        settings: where it is.
        key_file: holds its password.
        host: the name under which this server's backups are kept.
    """

    def __init__(self, settings: RepositorySettings, key_file: Path, host: str) -> None:
        self._settings = settings
        self.name = settings.name
        self.append_only = settings.append_only
        self.directory = settings.directory
        self._options = settings.options
        self._host = host
        self._key_file = key_file
        self._reached = False
        self._environment = {
            "RESTIC_CACHE_DIR": str(_CACHE),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "RESTIC_PROGRESS_FPS": "0.01",
            **settings.environment,
            # By the environment: locations can hold a password, and arguments are everybody's to read.
            "RESTIC_REPOSITORY": settings.location,
        }

    def identity(self) -> str:
        """Return what tells this repository from any other.

        Raises:
            BackupError: it cannot be opened.
        """
        return str(json.loads(self._run("cat", "config", timeout=QUICK))["id"])

    def make(self) -> str:
        """Make the repository unless there is one; returns its identity.

        Raises:
            BackupError: it cannot be made, or what is there has another key.
        """
        try:
            return self.identity()
        except BackupError as error:
            if _WRONG_KEY in str(error):
                raise
            # Whether nothing is there, or nobody answers, is for restic to find out: it does not make a second one.
            self._run("init", timeout=QUICK)
        return self.identity()

    def backups(self) -> list[Backup]:
        """Return this server's backups, oldest first.

        Raises:
            BackupError: the repository cannot be read.
        """
        found = json.loads(self._run("snapshots", "--no-lock", "--json", "--host", self._host, timeout=QUICK)) or []
        known = (self._backup(each) for each in found)
        return sorted((each for each in known if each), key=lambda backup: (backup.sequence, backup.moment))

    def add(self, directory: Path, moment: float, sequence: int) -> None:
        """Keep what a directory holds.

        Args:
            directory: its files, with the names that they get in the backup.
            moment: that the data are of, in seconds since the epoch.
            sequence: one more than that of the last backup.

        Raises:
            BackupError: it could not be kept, or not all of it.
        """
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
        self._unlock()
        self._run(
            *("backup", "--quiet", "--host", self._host, "--time", when),
            *("--tag", f"sequence={sequence},moment={moment:.3f}", "."),
            timeout=LONG,
            directory=directory,
        )

    def fetch(self, backup: Backup, target: Path, *names: str) -> None:
        """Write files of a backup below a directory; restic checks what it reads.

        Args:
            backup: one of this repository's.
            target: the directory.
            names: of the files and directories in the backup, all of it if none are named.

        Raises:
            BackupError: it is damaged, cannot be read, or there is no room.
        """
        wanted = [argument for name in names for argument in ("--include", f"/{name}")]
        self._run("restore", backup.id, "--quiet", "--target", str(target), *wanted, timeout=LONG)
        for name in names:
            if not (target / name).exists():
                raise BackupError(f"the backup {backup.id} of the {self.name} repository has no {name}")

    def read(self, backup: Backup, name: str) -> str:
        """Return one text file of a backup.

        Raises:
            BackupError: it is damaged, or there is none.
        """
        return self._run("dump", backup.id, f"/{name}", timeout=QUICK)

    def forget(self, keep: Keep) -> int:
        """Remove the backups that the retention policy does not keep; `prune` frees their space.

        Call it after `add`, which removes stale locks.

        Returns:
            The number of this server's backups that are left.

        Raises:
            BackupError: that failed.
        """
        kept = [(f"--keep-{name}", str(getattr(keep, name))) for name in ("hourly", "daily", "weekly", "monthly")]
        # The last few too, whatever the clock said.
        arguments = [argument for pair in [("--keep-last", "2"), *kept] for argument in pair]
        groups = json.loads(
            self._run("forget", "--json", "--host", self._host, "--group-by", "host", *arguments, timeout=LONG)
        )
        return sum(self._backup(each) is not None for group in groups for each in group["keep"])

    def prune(self) -> None:
        """Free the room of what is not kept any more.

        Raises:
            BackupError: that failed; restic begins where it was next time.
        """
        self._unlock()
        self._run("prune", "--quiet", timeout=LONG)

    def check(self, megabytes: int) -> None:
        """See that the repository is whole, reading back so much of its data, chosen at random; all of a smaller one.

        Raises:
            BackupError: it is not.
        """
        self._unlock()
        self._run("check", "--quiet", f"--read-data-subset={megabytes}M", timeout=LONG)

    def size(self) -> int:
        """Return the bytes that it takes.

        Raises:
            BackupError: it cannot be read.
        """
        if self.directory:
            return sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())
        return int(json.loads(self._run("stats", "--json", "--mode", "raw-data", timeout=QUICK))["total_size"])

    def add_key(self, new_key_file: Path) -> None:
        """Let the repository be opened with a further key.

        Raises:
            BackupError: that failed.
        """
        self._run("key", "add", "--new-password-file", str(new_key_file), timeout=QUICK)

    def with_key(self, key_file: Path) -> "Repository":
        """Return the same repository, to be opened with another key."""
        return Repository(self._settings, key_file, self._host)

    def opens(self) -> bool:
        """Whether the key is the repository's.

        Raises:
            BackupError: nobody can tell.
        """
        try:
            self.identity()
        except BackupError as error:
            if _WRONG_KEY in str(error):
                return False
            raise
        return True

    def _unlock(self) -> None:
        """Remove locks that a process of this server has left behind; those of a living one stay."""
        self._run("unlock", "--quiet", timeout=QUICK)

    def _backup(self, found: Mapping[str, Any]) -> Backup | None:
        """Return one of this program's; somebody else's have no such tags."""
        ours = _OURS.fullmatch(",".join(found.get("tags") or []))
        return Backup(self.name, str(found["short_id"]), float(ours[2]), int(ours[1])) if ours else None

    def _require_answer(self) -> None:
        """See that somebody listens on the far side: restic asks again for many minutes where nobody does.

        Raises:
            BackupError: nobody does.
        """
        found = _BY_NETWORK.match(self._settings.location)
        # By way of a proxy, only that can tell.
        if self._reached or not found or any(name.lower().endswith("_proxy") for name in os.environ):
            return
        url = urlsplit(found[1])
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
        for attempt in range(_CONNECTS):
            time.sleep(_PAUSE if attempt else 0)
            self._reached, reason = _listens(host, port)
            if self._reached:
                return
        raise BackupError(f"the {self.name} repository: {host}:{port} cannot be reached: {reason}")

    def _run(self, *arguments: str, timeout: float, directory: Path | None = None) -> str:
        self._require_answer()
        _CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = ["restic", "--password-file", str(self._key_file), *self._options, *arguments]
        try:
            return run_command(
                command, timeout, with_stderr=False, context=CommandContext(directory, self._environment)
            )
        except CommandError as error:
            raise BackupError(f"the {self.name} repository: {_reason(error)}") from error


def _listens(host: str, port: int) -> tuple[bool, str]:
    """Whether a connection to a port can be made, and why not."""
    try:
        with socket.create_connection((host, port), _CONNECT):
            return True, ""
    except OSError as error:
        return False, error.strerror or str(error)


def _reason(error: CommandError) -> str:
    """Say in one line why restic failed; its last lines are often about something else."""
    said = (_RETRY.sub("", _plain(line).removeprefix("Fatal: ")).strip() for line in error.output.splitlines())
    lines = list(dict.fromkeys(line for line in said if line))
    telling = [line for line in lines if any(word in line.lower() for word in _TELLING)]
    return "; ".join((telling or lines)[:2])[:400] or error.reason


def _plain(line: str) -> str:
    """Return what a line of restic says; with `--json` its last one is an object."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, LookupError, TypeError):
        return line
