"""`python -m app snapshot FILE`: a copy of the database as it is at one moment, taken beside a running service."""

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

from app.examination import Examination, examine
from app.kit import sqlite
from app.settings import load_settings_or_exit

ROOM = 1.1  # of the database's size that must be free
STEP = 256  # pages that are copied at once when nobody is in a hurry: 1 MB
LONGEST_PAUSE = 1.0  # seconds


class SnapshotError(Exception):
    """There is no copy; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """A copy that was taken.

    Attributes:
        bytes: its size.
        moment: that it is of, in seconds since the epoch: every write acknowledged before is in it.
        content: what was found in it.
    """

    bytes: int
    moment: float
    content: Examination


def main(arguments: list[str]) -> int:
    """Copy DATABASE_URL to the named file; returns the exit code."""
    parser = argparse.ArgumentParser("python -m app snapshot")
    parser.add_argument("file", type=Path)
    parser.add_argument("--gently", action="store_true", help="leave half of the disk's time to others")
    parser.add_argument("--json", action="store_true", help="for programs: say what is in it")
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
    """Copy the database, see that the copy is sound and on the disk.

    Args:
        database: to be copied.
        target: the copy.
        gently: copy in small steps, with a pause after each that is as long as the step: who writes meanwhile waits for
            the disk hardly longer than usual.

    Raises:
        SnapshotError: something of that failed; there is no file `target`.
    """
    if target.exists():
        raise SnapshotError(f"{target} exists already")
    part = target.with_name(f"{target.name}.part")
    try:
        file = sqlite.DatabaseFile(database)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        needed, free = database.stat().st_size * ROOM, shutil.disk_usage(target.parent).free
        if free < needed:
            raise SnapshotError(f"it needs {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are free on its disk")
        part.unlink(missing_ok=True)
        moment = _copy(file, part, gently=gently)
        with closing(dbapi2.connect(part)) as copy:
            content = examine(copy)
        if content.damage:
            raise SnapshotError(f"the copy is damaged, so the database is: {'; '.join(content.damage)}")
        with part.open("rb") as copied:
            os.fsync(copied.fileno())
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
    """Copy, and return the moment that the copy is of.

    All of it within one transaction of the source: otherwise a copy in steps begins anew whenever somebody writes, and
    may never end.
    """
    with closing(database.connect()) as source, closing(dbapi2.connect(part)) as copy:
        copy.execute("PRAGMA synchronous=OFF")  # it is synchronised at the end, or in each pause
        moment = time.time()
        source.execute(sqlite.READ)
        source.execute("SELECT 1 FROM sqlite_schema LIMIT 1")  # from here on it sees nothing that is written later
        source.backup(copy, pages=STEP if gently else -1, progress=_pause(part) if gently else None)
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, which needs no others beside it
    return moment


def _pause(part: Path) -> Callable[[int, int, int], None]:
    """Make what is called after each step: it has the step written to the disk, then waits as long as that took."""
    since = time.monotonic()

    def pause(_status: int, _remaining: int, _total: int) -> None:
        nonlocal since
        with part.open("rb") as copied:
            os.fdatasync(copied.fileno())
        time.sleep(min(time.monotonic() - since, LONGEST_PAUSE))
        since = time.monotonic()

    return pause
