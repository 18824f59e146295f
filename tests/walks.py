"""Walks from registration to review by other people's clients: the lines of docs/api.md, and those of tools/clients/.

Before the visit begins each walk runs the program `time-passes BOOKING`, which puts the booking two weeks back in
the database itself: nobody can book in the past, and a visit cannot be completed before its time.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT = 110  # seconds; a walk takes 5, and with Redis in trouble a request up to 6
_TIME_PASSES = """
import sys
from pysqlite3 import dbapi2

database, booking = sys.argv[1:]
earlier = "starts_at = datetime(starts_at, '-14 days'), ends_at = datetime(ends_at, '-14 days')"
with dbapi2.connect(database, timeout=20) as connection:
    connection.execute(f"UPDATE booking SET {earlier} WHERE id = ?", [booking])
    connection.execute("DELETE FROM booking_slot WHERE booking_id = ?", [booking])
"""
_BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def run_example(directory: Path, base: str) -> str:
    """Run all lines of docs/api.md in one shell against the service at `base`; as `run` does."""
    booking, visit = _BLOCK.findall((ROOT / "docs" / "api.md").read_text())
    (directory / "example.sh").write_text(f'set -euxo pipefail\n{booking}time-passes "$BOOKING"\n{visit}')
    return run(["bash", "example.sh"], directory, BASE=base)


def write_program(directory: Path, name: str, text: str) -> None:
    """Put a program where walks in `directory` find it first."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def write_time_passes(directory: Path, python: Sequence[str], database: str) -> None:
    """Write `time-passes` for walks in `directory`.

    Args:
        directory: of the walk.
        python: the command that runs a Python with the API's own SQLite.
        database: the file, as that Python sees it.
    """
    command = shlex.join([*python, "-c", _TIME_PASSES, database])
    write_program(directory, "time-passes", f'#!/bin/sh\nexec {command} "$1"\n')


def run(command: Sequence[str], directory: Path, **variables: str) -> str:
    """Run a command in `directory`, without a proxy other than the service's own.

    Returns:
        What it printed.

    Raises:
        AssertionError: it has failed, or took longer than TIMEOUT; the text is what it printed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        ["timeout", str(TIMEOUT), *command],
        cwd=directory,
        env=environment | {"PATH": f"{directory}/bin:{os.environ['PATH']}", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}"
    return done.stdout
