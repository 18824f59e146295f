"""What outlives a process: the monitor's state, its lock, and the maintenance pause."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaning_service_host.files import write_atomically

MAX_PAUSE = 24 * 3600.0  # seconds
_CLOCK_SLACK = 3600.0  # seconds by which the clock may have been put back since a pause began


class StateFile:
    """The monitor's memory, which `status` reads too."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "state.json"

    def save(self, state: dict[str, object]) -> None:
        """Replace the file.

        Raises:
            OSError: it could not be written; the old file is still there.
        """
        write_atomically(self._path, state)

    def load(self) -> dict[str, Any]:
        """Read the file; empty where there is none yet.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged.
        """
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        if not isinstance(state, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - to the caller it is damage, not a type
        return state


class RunLock:
    """Held by the one running monitor; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take the lock; False when another process holds it.

        Raises:
            OSError: the lock file cannot be made.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True)
class Pause:
    """A maintenance in which nothing is cured; `until` is in seconds since the epoch."""

    until: float
    reason: str


class Maintenance:
    """The maintenance lock: a file that always expires."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "maintenance.json"

    def begin(self, seconds: float, reason: str, *, at_least: bool = False) -> Pause:
        """Pause for some time from now, instead of any pause in force; return the pause in force afterwards.

        Args:
            seconds: how long.
            reason: shown to people.
            at_least: leave a pause in force that ends later as it is.

        Raises:
            OSError: the file cannot be written.
            ValueError: the time is not within (0, `MAX_PAUSE`].
        """
        if not 0 < seconds <= MAX_PAUSE:
            raise ValueError(f"a pause lasts at most {MAX_PAUSE / 3600:.0f} h and more than nothing")
        pause = Pause(time.time() + seconds, reason)
        in_force = self.current()
        if at_least and in_force and in_force.until >= pause.until:
            return in_force
        write_atomically(self._path, {"until": pause.until, "reason": pause.reason})
        return pause

    def end(self, reason: str | None = None) -> bool:
        """End the pause, or only one of this reason; False when there was none.

        Raises:
            OSError: the file cannot be removed.
        """
        in_force = self.current()
        if reason is not None and (in_force is None or in_force.reason != reason):
            return False
        self._path.unlink(missing_ok=True)
        return in_force is not None

    def current(self) -> Pause | None:
        """Return the pause in force; a damaged file, or one that would hold for too long, is none."""
        try:
            raw = json.loads(self._path.read_text(encoding="utf-8"))
            pause = Pause(float(raw["until"]), str(raw["reason"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pause if 0 < pause.until - time.time() <= MAX_PAUSE + _CLOCK_SLACK else None
