"""`python -m app snapshot FILE`: a copy of the database as it is at one moment, taken beside a running service."""

import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

from pysqlite3 import dbapi2

from app.kit import sqlite
from app.settings import load_settings_or_exit

EX_USAGE = 64  # sysexits.h
ROOM = 1.1  # of the database's size that must be free


class SnapshotError(Exception):
    """There is no copy; the message says why."""


def main(arguments: list[str]) -> int:
    """Copy DATABASE_URL to the named file; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m app snapshot FILE\n")
        return EX_USAGE
    database = sqlite.database_file(load_settings_or_exit().parsed_database_url)
    try:
        size = snapshot(database, Path(arguments[0]))
    except SnapshotError as error:
        sys.stderr.write(f"No snapshot was taken: {error}\n")
        return 1
    sys.stdout.write(f"{size} bytes, checked\n")
    return 0


def snapshot(database: Path, target: Path) -> int:
    """Copy the database, see that the copy is sound and on the disk; returns its size in bytes.

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
        _copy(file, part)
        _check(part)
        with part.open("rb") as copied:
            os.fsync(copied.fileno())
        part.rename(target)
        directory = os.open(target.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return target.stat().st_size
    except (OSError, sqlite.Error, sqlite.FileUnusableError) as error:
        raise SnapshotError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def _copy(database: sqlite.DatabaseFile, part: Path) -> None:
    """In a single step: one in several begins anew whenever somebody writes, and may never end."""
    with closing(database.connect()) as source, closing(dbapi2.connect(part)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, which needs no others beside it


def _check(part: Path) -> None:
    with closing(dbapi2.connect(part)) as copy:
        found = [str(row[0]) for row in copy.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise SnapshotError(f"the copy is damaged, so the database is: {'; '.join(found)}")
