"""Every event as one line, to standard output (the journal) and to the log file."""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

_FILE_MODE = 0o640


class Level(str, Enum):
    """How much an event matters. CRITICAL: a person is needed."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True)
class Note:
    """One event for the log, as `EventLog.event` takes it."""

    level: Level
    component: str
    name: str
    details: dict[str, object] = field(default_factory=dict)


class EventLog:
    """Writes events; a log that cannot be written never stops the monitor.

    The file is opened for each event: events are rare, and so a rotated, deleted or full file needs no care.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file_works = True

    def event(self, level: Level, component: str, name: str, **details: object) -> None:
        """Write one event, such as `2026-01-31T12:00:00Z WARNING api sick cause="no answer within 3 s"`."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # JSON's quoting keeps a cause with line ends or quotes on its one line.
        pairs = [f"{key}={json.dumps(str(value))}" for key, value in details.items() if value not in (None, "")]
        line = " ".join([moment, level.value, component, name, *pairs])
        _print(line)
        self._append(line)

    def _append(self, line: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            try:
                os.write(descriptor, f"{line}\n".encode())
            finally:
                os.close(descriptor)
            self._file_works = True
        except OSError as error:
            if self._file_works:
                self._file_works = False
                self.event(Level.ERROR, "monitor", "log-file-failed", path=self._path, cause=error.strerror or error)


def _print(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        return  # the journal is away; the file still has the event
