"""Where backups have their files on the server, their lock, and whether there is room."""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.locks import LockTimeoutError, hold_lock
from cleaning_service_release.layout import Layout

from cleaning_service_backup.errors import BackupError, BusyError
from cleaning_service_backup.settings import Settings

PATIENCE = 1800.0  # seconds to wait for another backup, drill or restore


class Place:
    """The directories of one service's backups.

    Args:
        settings: of the backups.
    """

    def __init__(self, settings: Settings) -> None:
        self.layout = Layout(settings.directory)
        top = settings.directory / "backup"
        self.top = top
        self.key_file = top / "key"
        self.status = top / "status.json"
        self.replica_status = top / "replica.json"
        self.staging = top / "staging"
        self.scratch = top / "scratch"
        self.under_way = top / "restore-under-way.json"
        self.set_aside = self.layout.database.parent / "set-aside"
        self._lock = top / "lock"
        self._reserve = settings.reserve_mb * 1_000_000

    @contextlib.contextmanager
    def locked(self, what: str, say: Callable[[str], None], patience: float = PATIENCE) -> Iterator[None]:
        """Hold the lock: one backup, drill or restore at a time.

        Raises:
            BusyError: another one does not end.
        """
        self.top.mkdir(mode=0o700, exist_ok=True)
        try:
            with hold_lock(
                self._lock, {"what": what, "pid": os.getpid()}, timeout=patience, describe=_another, log=say
            ):
                yield
        except LockTimeoutError as error:
            raise BusyError(f"{error} is under way and has not ended within {patience:g} s") from None

    @contextlib.contextmanager
    def emptied(self, directory: Path) -> Iterator[Path]:
        """Have an empty directory, which goes afterwards; nobody but root, and who is given it, reads it."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def database_size(self) -> int:
        """Return the bytes of the live database; 0 where there is none."""
        try:
            return self.layout.database.stat().st_size
        except OSError:
            return 0

    def short_of_room(self, directory: Path) -> bool:
        """Whether a directory's disk has less free than backups leave."""
        return shutil.disk_usage(directory).free < self._reserve

    def require_room(self, directory: Path, needed: float, what: str) -> None:
        """See that a disk has room, and that some is left afterwards.

        Args:
            directory: on that disk; the first of its parents that exists counts.
            needed: bytes.
            what: needs it, for the sentence.

        Raises:
            BackupError: it has not.
        """
        there = next(each for each in (directory, *directory.parents) if each.exists())
        free = shutil.disk_usage(there).free
        if free < needed + self._reserve:
            raise BackupError(
                f"{what} needs {needed / 1e6:.0f} MB in {directory} and leaves {self._reserve / 1e6:.0f} MB free, and "
                f"{free / 1e6:.0f} MB are free: make room (docs/operations.md)"
            )


def _another(owner: Mapping[str, Any]) -> str:
    """Name a backup, drill or restore that is under way."""
    return f"a {owner.get('what', 'backup')} (process {owner.get('pid', '?')})"


def copy(source: Path, target: Path, ignore: Callable[[str, list[str]], Collection[str]] | None = None) -> None:
    """Copy a file or a directory with owners and modes; a directory's files come beside those that are there.

    Args:
        source: the file or directory.
        target: the copy; its parent is there.
        ignore: as shutil.copytree takes it.
    """
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=ignore, ignore_dangling_symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
    for path in (target, *(target.rglob("*") if target.is_dir() else ())):
        with contextlib.suppress(FileNotFoundError):  # the service goes on working with what is copied
            found = (source / path.relative_to(target)).lstat()
            os.chown(path, found.st_uid, found.st_gid, follow_symlinks=False)
