"""Taking a backup: one checked copy of the database with what a bare server needs, into each repository."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cleaning_service_release.journal import Journal, api_image

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.place import Place, copy
from cleaning_service_backup.repository import Repository
from cleaning_service_backup.settings import Settings
from cleaning_service_backup.status import Status, moment
from cleaning_service_backup.workshop import DATABASE, Workshop

MANIFEST = "manifest.json"
WARNING = "warning:"
"""How a line begins that the playbook shows."""
SERVER = "server"
"""The directory of a backup with the server's own files, each at its path below the service's directory."""
KEPT = (
    ".env",
    "docker-compose.stable.yml",
    "monitor.json",
    "backup.json",
    "redis/config",
    "proxy/config",
    "proxy/data",
    "releases",
)
"""Files and directories that a backup holds besides the database, below the service's directory."""
_TRANSIENT = shutil.ignore_patterns("lock", "next", "*.new", "*.lock", "*.tmp")
_ROOM = 1.2  # of the database's size


class History:
    """Takes backups.

    Args:
        settings: of the backups.
        place: where they have their files.
        say: told each step, a line each.
    """

    def __init__(self, settings: Settings, place: Place, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._place = place
        self._say = say
        self._status = Status(place.status, settings)

    def repositories(self) -> list[Repository]:
        """Return the repositories that are set, the local one first."""
        return [Repository(each, self._place.key_file, self._settings.host) for each in self._settings.repositories]

    def make(self) -> list[str]:
        """Make the repositories that there have not been yet; returns the names of those that were made.

        A server that was set up empty, in place of a lost one whose backups a repository holds, is warned about.

        Raises:
            BackupError: one cannot be made, has another key, or is gone.
        """
        made = []
        for repository in self.repositories():
            known, identity = self.known(repository.name), self._opened(repository)
            if not known:
                self._status.note(repository.name, identity=identity)
                made.append(repository.name)
                self._warn_of_backups(repository)
        return made

    def _warn_of_backups(self, repository: Repository) -> None:
        """Warn if all releases of this server are younger than the backups that the repository holds of it."""
        backups, entries = repository.backups(), Journal(self._place.layout).entries()
        if not backups or (entries and entries[0].began <= backups[-1].moment):
            return
        newest = backups[-1]
        self._say(
            f"{WARNING} the {repository.name} repository holds {len(backups)} backups of {self._settings.host}, "
            f"the last of {moment(newest.moment)}, and this server has begun without them. If it replaces "
            f"a lost one, restore them now: `ansible-playbook playbooks/restore.yml -e snapshot={newest.id}`. "
            "If it is another server, give it a `backup_host` of its own."
        )

    def _opened(self, repository: Repository) -> str:
        """See that a repository is the one that there has been, or make it; returns its identity.

        Raises:
            BackupError: it is gone, or another one is in its place; or it cannot be made.
        """
        known = self.known(repository.name)
        if not known:
            return repository.make()
        identity = repository.identity()
        if identity != known:
            raise BackupError(
                f"the {repository.name} repository is another one than it was: put the one of before back, or, if the "
                f"new one is meant, run `cleaning-service-backup adopt {repository.name}`"
            )
        return identity

    def known(self, name: str) -> str:
        """Return the identity of a repository that there has been, or nothing."""
        return str(self._status.repository(name)["identity"])

    def adopt(self, name: str) -> None:
        """Take what is at a repository's place for the repository, or make one there.

        Raises:
            BackupError: there is no such repository, or none can be made.
        """
        for repository in self.repositories():
            if repository.name == name:
                self._status.note(name, identity=repository.make(), at=None, snapshots=0)
                return
        raise BackupError(f"there is no repository {name}: there are {self._names()}")

    def _names(self) -> str:
        return " and ".join(each.name for each in self._settings.repositories)

    def run(self) -> list[str]:
        """Take a backup into each repository; returns what failed, a sentence each.

        Raises:
            BackupError: there is nothing to back up, or no copy can be made of it.
        """
        begun = time.monotonic()
        try:
            self._place.require_room(self._place.staging, _ROOM * self._place.database_size(), "a copy of the database")
            with self._place.emptied(self._place.staging) as staging:
                taken = self._stage(staging)
                self._say(f"copied and checked in {time.monotonic() - begun:.1f} s")
                return [failure for each in self.repositories() if (failure := self._add(each, staging, taken))]
        except (BackupError, OSError) as error:
            for each in self._settings.repositories:
                self._status.note(each.name, failure=str(error), failed_at=time.time())
            raise BackupError(str(error)) from error

    def _stage(self, staging: Path) -> float:
        """Lay out what a backup holds; returns the moment that its data are of."""
        layout = self._place.layout
        copied = staging / "copy"
        copied.mkdir()
        taken = Workshop(layout).copy(copied)
        (copied / DATABASE).rename(staging / DATABASE)
        copied.rmdir()
        if broken := taken["content"]["broken_references"]:
            self._say(f"{broken} rows of the database point to nothing; they are kept as they are")
        for name in KEPT:
            source, target = layout.directory / name, staging / SERVER / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if source.exists():
                copy(source, target, _TRANSIENT)
        current = Journal(layout).current() if layout.releases.exists() else None
        manifest = {
            "moment": taken["moment"],
            "bytes": taken["bytes"],
            "revision": taken["content"]["revision"],
            "rows": taken["content"]["rows"],
            "image": api_image(layout.directory),
            "release": current.name if current else "",
            "host": self._settings.host,
        }
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        return float(taken["moment"])

    def _add(self, repository: Repository, staging: Path, taken: float) -> str:
        """Keep the copy in one repository; returns what failed, if something did."""
        begun, name = time.monotonic(), repository.name
        try:
            if repository.directory:
                self._place.require_room(repository.directory, _size(staging), f"a backup in the {name} repository")
            identity = self._opened(repository)
            before = repository.backups()
            repository.add(staging, taken, (before[-1].sequence if before else 0) + 1)
            kept = len(before) + 1 if repository.append_only else repository.forget(self._settings.keep)
            seconds = round(time.monotonic() - begun, 1)
            self._status.note(
                name, identity=identity, at=taken, failure="", failed_at=None,
                snapshots=kept, bytes=repository.size(), seconds=seconds,
            )  # fmt: skip
        except (BackupError, OSError) as error:
            self._status.note(name, failure=str(error), failed_at=time.time())
            self._say(f"failed: {error}")
            return str(error)
        self._say(f"{name}: kept in {seconds} s; {kept} backups there")
        return ""

    def maintain(self) -> list[str]:
        """Free what is not kept any more, and see that each repository is whole; returns what failed."""
        return [failure for each in self.repositories() if (failure := self._maintain(each))]

    def _maintain(self, repository: Repository) -> str:
        try:
            if not repository.append_only:
                repository.prune()
            repository.check(self._settings.check_mb)
            self._status.note(repository.name, checked=time.time(), check_failure="", bytes=repository.size())
        except (BackupError, OSError) as error:
            self._status.note(repository.name, check_failure=str(error))
            self._say(f"failed: {error}")
            return str(error)
        self._say(f"{repository.name}: whole")
        return ""

    def export(self, target: Path) -> int:
        """Write a checked copy of the database to a file that is not there yet; returns its size in bytes.

        Raises:
            BackupError: there is no copy.
        """
        if target.exists():
            raise BackupError(f"{target} exists already")
        if not target.parent.is_dir():
            raise BackupError(f"{target.parent} is no directory")
        size = self._place.database_size()
        self._place.require_room(self._place.staging, size, "a copy of the database")
        self._place.require_room(target, size, "the file")
        with self._place.emptied(self._place.staging) as staging:
            Workshop(self._place.layout).copy(staging)
            part = target.with_name(f".{target.name}.part")
            try:
                with part.open("xb") as file, (staging / DATABASE).open("rb") as source:
                    part.chmod(0o600)
                    shutil.copyfileobj(source, file, 1_000_000)
                part.rename(target)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise BackupError(f"{target} cannot be written: {error.strerror}") from error
        return target.stat().st_size


def told_content(rows: dict[str, Any]) -> str:
    """Say how much is in a database, for a line."""
    return f"{rows.get('user_account', 0)} accounts, {rows.get('booking', 0)} bookings"


def _size(top: Path) -> int:
    return sum(path.lstat().st_size for path in top.rglob("*") if path.is_file())
