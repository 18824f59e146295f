"""`python -m app snapshot FILE`: copy the database in one consistent state, also while the service runs."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from pysqlite3 import dbapi2

from app.database_inspection import DatabaseReport, inspect_database
from app.kit import sqlite
from app.settings import load_settings_or_exit

FREE_SPACE_FACTOR = 1.1  # required free disk space, relative to the size of the database
PAGES_PER_STEP = 256  # of a gentle copy; 1 MB
MAXIMUM_PAUSE = 1.0  # seconds


class SnapshotError(Exception):
    """The snapshot was not taken. The message says why."""


@dataclass(frozen=True)
class Snapshot:
    """A finished copy of the database.

    Attributes:
        bytes: size of the file.
        moment: time in seconds since the epoch; the copy holds every write acknowledged before it.
        content: result of the inspection of the copy.
    """

    bytes: int
    moment: float
    content: DatabaseReport


def main(arguments: list[str]) -> int:
    """Copy the database of DATABASE_URL to a file, and return the exit code."""
    parser = argparse.ArgumentParser("python -m app snapshot")
    parser.add_argument("file", type=Path)
    parser.add_argument("--gently", action="store_true", help="use at most half of the disk's time")
    parser.add_argument("--json", action="store_true", help="print JSON, with the content of the snapshot")
    options = parser.parse_args(arguments)
    database = sqlite.database_file(load_settings_or_exit().parsed_database_url)
    try:
        taken = snapshot(database, options.file, gently=options.gently)
    except SnapshotError as error:
        sys.stderr.write(f"No snapshot was taken: {error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(asdict(taken)) if options.json else f'{taken.bytes} bytes, checked'}\n")
    return 0


def snapshot(database: Path, target: Path, *, gently: bool = False) -> Snapshot:
    """Copy the database, check the copy and write it to the disk.

    Args:
        database: file of the database.
        target: file of the copy.
        gently: copy in small steps, each followed by a pause of the same length, so that other writers hardly wait
            longer for the disk.

    Raises:
        SnapshotError: a step failed. The file `target` does not exist.
    """
    if target.exists():
        raise SnapshotError(f"{target} exists already")
    part = target.with_name(f"{target.name}.part")
    try:
        file = sqlite.DatabaseFile(database)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        needed, free = database.stat().st_size * FREE_SPACE_FACTOR, shutil.disk_usage(target.parent).free
        if free < needed:
            raise SnapshotError(f"it needs {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free on its disk")
        part.unlink(missing_ok=True)
        moment = _copy(file, part, gently=gently)
        with closing(dbapi2.connect(part)) as copy:
            content = inspect_database(copy)
        if content.damage:
            raise SnapshotError(f"the copy is damaged, so the database is too: {'; '.join(content.damage)}")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(target)
        directory = os.open(target.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return Snapshot(target.stat().st_size, moment, content)
    except (OSError, sqlite.Error, sqlite.FileUnusableError) as error:
        raise SnapshotError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def _copy(database: sqlite.DatabaseFile, part: Path, *, gently: bool) -> float:
    """Copy the database, and return the time of the copied state.

    The copy runs within one transaction of the source. Otherwise a copy in steps would restart after each write of
    another connection, and might never end.
    """
    with closing(database.connect()) as source, closing(dbapi2.connect(part)) as copy:
        copy.execute("PRAGMA synchronous=OFF")  # the file is synchronised at the end, or in each pause
        moment = time.time()
        source.execute(sqlite.READ)
        source.execute("SELECT 1 FROM sqlite_schema LIMIT 1")  # the first read fixes the state of the transaction
        source.backup(copy, pages=PAGES_PER_STEP if gently else -1, progress=_pause(part) if gently else None)
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode=DELETE")  # a single file without a write-ahead log
    return moment


def _pause(part: Path) -> Callable[[int, int, int], None]:
    """Return a callback that writes each step of the copy to the disk, then pauses as long as the step took."""
    started = time.monotonic()

    def pause(_status: int, _remaining: int, _total: int) -> None:
        nonlocal started
        with part.open("rb") as written:
            os.fdatasync(written.fileno())
        time.sleep(min(time.monotonic() - started, MAXIMUM_PAUSE))
        started = time.monotonic()

    return pause
