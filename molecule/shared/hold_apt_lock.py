"""Runs on a test host: holds apt's locks, as a new server does that updates itself, until each has been met."""

import fcntl
import time
from pathlib import Path

PATIENCE = 300.0  # seconds
HOLD = 3.0  # seconds that somebody waits


def name(process: Path) -> str:
    """Return the name of a process, empty where it has ended."""
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def await_apt() -> None:
    """Wait until apt-get runs: where the lists are locked it ends within milliseconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if any(name(process) == "apt-get" for process in Path("/proc").glob("[0-9]*")):
            return
        time.sleep(0.003)
    raise SystemExit("nobody has used apt-get")


def main() -> None:
    """Hold the lists, then the packages."""
    with Path("/var/lib/dpkg/lock-frontend").open("w") as packages, Path("/var/lib/apt/lists/lock").open("w") as lists:
        for file in (packages, lists):
            fcntl.lockf(file, fcntl.LOCK_EX)
        print("held", flush=True)
        await_apt()
        time.sleep(1)
        fcntl.lockf(lists, fcntl.LOCK_UN)
        await_apt()
        time.sleep(HOLD)


if __name__ == "__main__":
    main()
