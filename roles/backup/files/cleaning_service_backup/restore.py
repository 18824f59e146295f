"""Bringing data back: fetched beside what runs, checked, and only then exchanged; nothing is deleted."""

import contextlib
import heapq
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaning_service_host.files import flush_directory, read_json, write_atomically
from cleaning_service_release.errors import BusyError, ReleaseError, RevertFailedError
from cleaning_service_release.release import Releaser

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.history import MANIFEST, SERVER, History, told_content
from cleaning_service_backup.place import Place, copy
from cleaning_service_backup.replica import Replica
from cleaning_service_backup.repository import Backup, Repository
from cleaning_service_backup.settings import REPLICA, Settings
from cleaning_service_backup.status import moment
from cleaning_service_backup.workshop import DATABASE, Workshop

LASTING = ("user_account", "booking")
"""Tables whose rows are never removed, so that a database that has more of them is the later one."""
_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}.log-of")
_PART = f".{DATABASE}.restored"
_ROOM = 1.2  # of a database's size
_SERVER_FILES = (".env", "proxy/data", "releases/releases.jsonl", "releases/starts.json")
"""What a bare server gets back of the server's own files; the playbook writes all others."""


@dataclass(frozen=True)
class Wish:
    """What is to be restored.

    Attributes:
        at: the newest data that are not younger, in seconds since the epoch; None for the newest.
        snapshot: the id of one backup, nothing for any.
        source: where it comes from: local, remote, history (both), replica, or nothing for any.
        file: a copy of the database, if that is to be restored.
    """

    at: float | None = None
    snapshot: str = ""
    source: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Candidate:
    """Data that could be restored.

    Attributes:
        source: local, remote, replica or file.
        moment: that they are of; of the replica, that they are not younger than. In seconds since the epoch.
        backup: the one of the history that it is; None for the replica.
        repository: its repository.
        file: the copy of the database that it is.
        at: of the replica, the moment that was asked for; None for the newest data that it has.
    """

    source: str
    moment: float
    backup: Backup | None = None
    repository: Repository | None = None
    file: Path | None = None
    at: float | None = None

    def __str__(self) -> str:
        if self.file:
            return f"the copy {self.file}, which was written {moment(self.moment)}"
        if self.backup is None:
            return f"the replica, as of {moment(self.moment)} or a little before"
        return f"the backup {self.backup.id} of the {self.source} repository, of {moment(self.moment)}"


@dataclass(frozen=True)
class Fetched:
    """Data that were fetched into a directory and are good.

    Attributes:
        moment: that they are of, in seconds since the epoch.
        rows: of each table.
    """

    moment: float
    rows: dict[str, int]


class Sources:
    """All that data can be restored from.

    Args:
        history: the repositories.
        settings: of the backups.
        place: where backups have their files.
        say: told each step, a line each.
    """

    def __init__(self, history: History, settings: Settings, place: Place, say: Callable[[str], None]) -> None:
        self._history = history
        self._settings = settings
        self._place = place
        self._say = say
        self.replica = Replica(settings, place.layout) if settings.replica else None

    def candidates(self, wish: Wish) -> list[Candidate]:
        """Return what answers a wish, the best first.

        Raises:
            BackupError: nothing does.
        """
        if wish.file:
            if not wish.file.is_file():
                raise BackupError(f"there is no file {wish.file}")
            return [Candidate("file", wish.file.stat().st_mtime, file=wish.file)]
        found, failures = self._of_history(wish)
        if self.replica and not wish.snapshot and wish.source in ("", REPLICA):
            # It is never older than the history but by what it lags behind, so it is tried first.
            found.insert(0, Candidate(REPLICA, wish.at or time.time(), at=wish.at))
        if not found:
            reasons = "; ".join(failures) or "there is no such backup: `cleaning-service-backup list` shows all"
            raise BackupError(f"nothing can be restored: {reasons}")
        return found

    def _of_history(self, wish: Wish) -> tuple[list[Candidate], list[str]]:
        found: list[list[Candidate]] = []
        failures = []
        for repository in self._history.repositories():
            if wish.source not in ("", "history", repository.name):
                continue
            try:
                backups = repository.backups()
            except BackupError as error:
                failures.append(str(error))
                self._say(f"left out: {error}")
                continue
            found.append(
                [
                    Candidate(repository.name, each.moment, each, repository)
                    for each in reversed(backups)
                    if (not wish.snapshot or each.id.startswith(wish.snapshot))
                    and (wish.at is None or each.moment <= wish.at)
                ]
            )
        # Each repository's in its own order: clocks may have been wrong, and what was taken last is the newest.
        merged = list(heapq.merge(*found, key=lambda each: each.moment, reverse=True))
        if wish.at is not None:
            merged.sort(key=lambda each: each.moment, reverse=True)
        return merged, failures

    def fetch(self, candidate: Candidate, directory: Path) -> Fetched:
        """Fetch data into a directory, and see that they are good.

        Raises:
            BackupError: they cannot be fetched, or are not good.
        """
        manifest: dict[str, Any] = {}
        at = candidate.moment
        if candidate.repository and candidate.backup:
            manifest = self._manifest(candidate)
            self._require_room(directory, manifest["bytes"])
            candidate.repository.fetch(candidate.backup, directory, DATABASE)
            at = manifest["moment"]
        elif candidate.file:
            beside = candidate.file.with_name(f"{candidate.file.name}-wal")
            if beside.exists() and beside.stat().st_size:
                raise BackupError(
                    f"it is not all of a database: {beside} belongs to it; use `cleaning-service-backup export`"
                )
            self._require_room(directory, candidate.file.stat().st_size)
            shutil.copyfile(candidate.file, directory / DATABASE)
        elif self.replica:
            self._require_room(directory, self._place.database_size())
            at = self.replica.restore(directory / DATABASE, candidate.at)
        return self._examined(directory, at, manifest)

    def require_newest(self, candidate: Candidate, fetched: Fetched, others: Sequence[Candidate]) -> None:
        """See that a replica is not one that has stood still since the newest backup.

        Raises:
            BackupError: it is.
        """
        newest = next((each for each in others if each.repository), None)
        if candidate.source != REPLICA or newest is None or newest.moment <= fetched.moment:
            return
        rows = dict(self._manifest(newest).get("rows") or {})
        more = [fetched.rows.get(table, 0) - int(rows.get(table, 0)) for table in LASTING]
        if min(more) >= 0 < max(more):  # it is the later one, whatever the clock said when the backup was taken
            return
        if rows != fetched.rows:
            raise BackupError(f"its last write is of {moment(fetched.moment)}, and {newest} has more in it")

    def _manifest(self, candidate: Candidate) -> dict[str, Any]:
        if candidate.repository is None or candidate.backup is None:
            return {}
        try:
            found = dict(json.loads(candidate.repository.read(candidate.backup, MANIFEST)))
            return {**found, "bytes": float(found["bytes"]), "moment": float(found["moment"])}
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"what it says of itself ({MANIFEST}) is damaged: {error!r}") from error

    def _require_room(self, directory: Path, size: float) -> None:
        self._place.require_room(directory, _ROOM * size, "the restored database")

    def _examined(self, directory: Path, at: float, manifest: dict[str, Any]) -> Fetched:
        found = Workshop(self._place.layout).examine(directory)
        if found["damage"]:
            raise BackupError(f"the database in it is damaged: {'; '.join(found['damage'])}")
        if found["revision"] is None:
            raise BackupError("what is in it is no database of this service")
        if found["revision"] > found["newest_revision"]:
            raise BackupError(
                f"its schema {found['revision']} is newer than that of the API here, {found['newest_revision']}: "
                f"deploy the version that it is of first{f' ({image})' if (image := manifest.get('image')) else ''}"
            )
        wanted = manifest.get("rows", found["rows"])
        if found["rows"] != wanted:
            tables = ", ".join(sorted(name for name in wanted if found["rows"].get(name) != wanted[name]))
            raise BackupError(f"it has not the rows that it had when it was taken: {tables or 'other tables'}")
        if found["broken_references"]:
            self._say(f"{found['broken_references']} rows of it point to nothing, as they did when it was taken")
        return Fetched(at, found["rows"])


class Restorer:
    """Brings data back into service.

    Args:
        settings: of the backups.
        place: where backups have their files.
        say: told each step, a line each.
    """

    def __init__(self, settings: Settings, place: Place, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._place = place
        self._say = say
        self._sources = Sources(History(settings, place, say), settings, place, say)

    def foretell(self, wish: Wish) -> None:
        """Say what a restore would do.

        Raises:
            BackupError: nothing can be restored.
        """
        candidate = self._sources.candidates(wish)[0]
        self._say(f"would fetch {candidate}, and check it")
        layout = self._place.layout
        if layout.database.exists():
            self._say(
                f"would set {layout.database} aside ({self._place.database_size() / 1e6:.1f} MB), and delete nothing"
            )
        self._say(
            "would stop the API, put the database in place, migrate it, rehearse a registration, and start the API"
        )

    def restore(self, wish: Wish, by: str) -> None:
        """Bring data back into service.

        Raises:
            BackupError: it was not done; what ran before runs.
            RevertFailedError: it was not done, and a person is needed.
            BusyError: of the release: one is under way and does not end.
        """
        candidates = self._sources.candidates(wish)
        begun = time.monotonic()
        with self._place.emptied(self._place.scratch / "restore") as directory:
            fetched = self._first_good(candidates, directory, only=bool(wish.snapshot))
            self._say(f"fetched and checked in {time.monotonic() - begun:.1f} s: {told_content(fetched.rows)}")
            name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            exchange = Exchange(self._place, directory / DATABASE, name, self._sources.replica, self._say)
            try:
                Releaser(self._place.layout, self._say).replace_data(exchange, by)
            except (BusyError, RevertFailedError):
                raise
            except ReleaseError as error:
                raise BackupError("\n  ".join([str(error), *error.evidence])) from error
        self._say(f"restored: data of {moment(fetched.moment)}, after {time.monotonic() - begun:.1f} s")
        for line in prune_set_aside(self._place, self._settings):
            self._say(line)

    def _first_good(self, candidates: Sequence[Candidate], directory: Path, *, only: bool) -> Fetched:
        failures = []
        for candidate in candidates:
            self._say(f"fetching {candidate}")
            try:
                fetched = self._sources.fetch(candidate, directory)
                self._sources.require_newest(candidate, fetched, candidates)
            except BackupError as error:
                failures.append(f"{candidate}: {error}")
                self._say(f"not good: {error}")
                if only:
                    break
            else:
                return fetched
            for each in directory.iterdir():
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        raise BackupError(f"nothing was restored: {'; '.join(failures)}")

    def restore_server(self, wish: Wish) -> list[str]:
        """Give a bare server its secrets, certificates and journal back; what is there stays. Returns what was written.

        Raises:
            BackupError: no backup can be read.
        """
        layout = self._place.layout
        missing = [name for name in _SERVER_FILES if not _there(layout.directory / name)]
        if not missing:
            return []
        failures = []
        for candidate in self._sources.candidates(Wish(wish.at, wish.snapshot, "history")):
            if candidate.repository is None or candidate.backup is None:
                continue
            with self._place.emptied(self._place.scratch / "server") as directory:
                try:
                    candidate.repository.fetch(candidate.backup, directory, SERVER)
                except BackupError as error:
                    failures.append(str(error))
                    continue
                return [name for name in missing if _give(directory / SERVER / name, layout.directory / name)]
        raise BackupError(f"no backup of this server's secrets can be read: {'; '.join(failures)}")


class Exchange:
    """Puts a restored database in place of the one that is there; knows the way back, also after a crash.

    Args:
        place: where backups have their files.
        new: the restored database; None to only know the way back.
        name: of the directory that gets what is there.
        replica: of the database, which must not take the one for the other.
        say: told what cannot be done, a line each.
    """

    def __init__(
        self, place: Place, new: Path | None, name: str, replica: Replica | None, say: Callable[[str], None]
    ) -> None:
        self._place = place
        self._data = place.layout.database.parent
        self._new = new
        self._name = name
        self._replica = replica
        self._say = say
        self._record: Mapping[str, Any] = {}

    def put(self) -> None:
        """Set aside what is there, and put the new database in place."""
        if self._new is None:
            raise BackupError("there is nothing to put in place")
        if self._replica:
            self._replica.stop()
        aside = self._place.set_aside / self._name
        aside.mkdir(mode=0o700, parents=True)
        owner = self._data.stat()
        for directory in (aside.parent, aside):
            os.chown(directory, owner.st_uid, owner.st_gid)
        there = [name for name in _FILES if (self._data / name).exists()]
        self._record = self._note({"aside": self._name, "files": there, "since": time.time()})
        for name in there:
            os.link(self._data / name, aside / name, follow_symlinks=False)
        flush_directory(aside)
        part = self._data / _PART
        part.unlink(missing_ok=True)
        try:
            self._new.rename(part)
        except OSError:  # on another disk
            with part.open("xb") as target, self._new.open("rb") as source:
                shutil.copyfileobj(source, target, 1_000_000)
        part.chmod(0o640)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        for name in _FILES[1:]:  # they belong to the database of before
            (self._data / name).unlink(missing_ok=True)
        part.replace(self._data / DATABASE)
        flush_directory(self._data)
        if there:
            self._say(f"what was there is in {aside}")

    def done(self) -> None:
        """Know that the API works with it: from here on nobody but `undo` in this process takes it back."""
        self._place.under_way.unlink(missing_ok=True)
        if self._replica:
            self._replica.start()

    def undo(self) -> None:
        """Put back what was set aside; what was put in place since is not lost, where anybody has worked with it."""
        if found := read_json(self._place.under_way) or self._record:
            self._put_back(found)
        if self._replica:
            self._replica.start()

    def _note(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write down that files are being exchanged, so that `recover` takes it back after a crash."""
        write_atomically(self._place.under_way, record)
        flush_directory(self._place.top)  # it may lie on another disk than the data
        return record

    def _put_back(self, found: Mapping[str, Any]) -> None:
        if self._replica:
            self._replica.stop()
        self._note(found)  # again, where `done` has removed it
        aside = self._place.set_aside / str(found["aside"])
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _FILES:
            here, kept = self._data / name, aside / name
            # One that has no second name in there is the one of before: nothing is replaced until all have, and none
            # loses it until all are in place again.
            before = here.samefile(kept) if here.exists() and kept.exists() else name in found["files"]
            if here.exists() and not before:
                here.rename(aside / f"restored-{name}")
        back = [name for name in found["files"] if (aside / name).exists()]
        for name in back:
            if not (self._data / name).exists():
                os.link(aside / name, self._data / name, follow_symlinks=False)
        (self._data / _PART).unlink(missing_ok=True)
        flush_directory(self._data)
        for name in back:  # they are in place again, under their own names alone
            (aside / name).unlink()
        with contextlib.suppress(OSError):
            aside.rmdir()
        self._place.under_way.unlink()


def recover(settings: Settings, place: Place, say: Callable[[str], None]) -> bool:
    """Take back a restore that was interrupted between two files; whether there was one."""
    if not place.under_way.exists():
        return False
    replica = Replica(settings, place.layout) if settings.replica else None
    Exchange(place, None, "", replica, say).undo()
    say("a restore was interrupted: the data of before are back")
    return True


def prune_set_aside(place: Place, settings: Settings) -> Iterator[str]:
    """Remove the oldest of what restores have set aside, beyond the number and the room that are set; says what."""
    found = place.set_aside.iterdir() if place.set_aside.is_dir() else ()
    kept = sorted((each for each in found if each.is_dir() and not each.is_symlink()), reverse=True)
    room = settings.set_aside_mb * 1e6
    for number, directory in enumerate(kept):
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        room -= size
        if number and (number >= settings.set_aside_keep or room < 0):
            shutil.rmtree(directory)
            yield f"removed {directory} ({size / 1e6:.1f} MB), which an earlier restore had set aside"


def _there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _give(source: Path, target: Path) -> bool:
    """Put a restored file or directory in its place, with its owner and mode; whether the backup has it."""
    if not source.exists():
        return False
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if source.is_dir():
        copy(source, target)
    else:  # at once: half a file would be taken for one that is there
        copy(source, part := target.with_name(f".{target.name}.restored"))
        part.replace(target)
    return True
