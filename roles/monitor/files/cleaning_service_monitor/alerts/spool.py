"""Alerts that wait: one file for each message and channel, so that neither a crash nor a dead network loses one.

The monitor writes the files; the child process removes each after its delivery. No file ever changes.
"""

import contextlib
import json
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from cleaning_service_host.files import flush_directory, write_atomically

from cleaning_service_monitor.messages import KINDS, Message

MAX_WAITING = 500  # messages of one channel
_MAX_NAME = 200  # characters of a message's id in a file's name; file systems allow 255 bytes


class Spool:
    """The queues of all channels: directories whose files have numbers, in their order.

    Args:
        directories: one on the disk, and one in memory for what a full or read-only disk does not take.
    """

    def __init__(self, *directories: Path) -> None:
        self.directories = directories

    def put(self, channel: str, message: Message) -> list[Path]:
        """Add a message to a queue, unless it waits there; returns the oldest files, which had to make room.

        Raises:
            OSError: it could not be written anywhere.
        """
        waiting = self.waiting(channel)
        ending = f"-{quote(message['id'], safe='')[:_MAX_NAME]}.json"
        if any(path.name[8:] == ending for path in waiting):
            return []
        name = f"{int(waiting[-1].name[:8]) + 1 if waiting else 1:08}{ending}"
        for directory in self.directories:
            try:
                _write(directory / channel / name, message)
                break
            except OSError:
                if directory == self.directories[-1]:
                    raise
        surplus = waiting[: max(0, len(waiting) + 1 - MAX_WAITING)]
        self.remove(surplus)
        return surplus

    def waiting(self, channel: str) -> list[Path]:
        """Return the files of a queue in their order."""
        queues = [directory / channel for directory in self.directories]
        removed = {path.stem for queue in queues for path in queue.glob("*.removed")}
        found = {path.name: path for queue in queues for path in queue.glob("[0-9]*.json")}
        return [found[name] for name in sorted(found.keys() - removed)]

    def read(self, channel: str) -> list[tuple[Path, Message | None]]:
        """Return the messages of a queue in their order; None for a damaged one."""
        return [(path, _read(path)) for path in self.waiting(channel)]

    def remove(self, paths: Collection[Path]) -> None:
        """Remove files. What a read-only disk keeps counts as removed by a note in memory."""
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                continue
            queue = self.directories[-1] / path.parent.name
            queue.mkdir(mode=0o700, parents=True, exist_ok=True)
            (queue / f"{path.name}.removed").touch()

    def expire(self, channel: str, age: float) -> list[Path]:
        """Remove the files that have waited for longer than `age` seconds, and return them."""
        old = [path for path in self.waiting(channel) if time.time() - path.stat().st_mtime > age]
        self.remove(old)
        return old

    def adopt(self, channels: Collection[str]) -> None:
        """Remove the queues of other channels, and take over the messages that the former version left.

        That one had one file for each message, and in its `delivery` the progress of each channel under a key such as
        `webhook-0123456789ab`. A kind of channel gets the message unless all channels of the kind had it.
        """
        for queue in [queue for directory in self.directories for queue in directory.glob("*/")]:
            self.remove([] if queue.name in channels else list(queue.iterdir()))
        for path in sorted(self.directories[0].glob("*.json"), key=lambda path: path.stat().st_mtime):
            message = _read(path) or {}
            delivery = message.pop("delivery", {})
            for channel in channels if message else ():
                kind = channel.partition("-")[0]
                if not all([each["done"] for key, each in delivery.items() if key.startswith(kind)] or [False]):
                    self.put(channel, message)
            self.remove([path])


def _write(path: Path, message: Message) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, message)
    flush_directory(path.parent)


def _read(path: Path) -> Message | None:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        message = json.loads(path.read_bytes())
        return message if isinstance(message, dict) and message.get("kind") in KINDS else None
    return None
