"""Messages on their way to a person: one file each, so that neither a crash nor a dead network loses one.

Two processes use the directory. The monitor only creates files (`Spool`); the short-lived child that delivers
changes and removes them (`Backlog`) while it holds the directory's lock. The monitor takes the same lock for the
one other thing it does: dropping the least important messages of a spool that is full.

On a full disk nothing is lost either: what cannot be written stays in the monitor's memory, goes to the child on
its standard input, and comes back as lines of its output.
"""

import contextlib
import fcntl
import json
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cleaning_service_host.files import write_atomically

from cleaning_service_monitor.eventlog import Level
from cleaning_service_monitor.messages import KINDS, PERSON_NEEDED, PROBLEM, REMINDER, RESOLVED, TEST, Message

MAX_MESSAGES = 500
_SUFFIX = ".json"
_DAMAGED_SUFFIX = ".damaged"
_MAX_FILE = 256 * 1024  # bytes; an honest message has a few thousand
_MAX_DAMAGED = 20  # damaged files that are kept for a person to look at
_MAX_NAME = 200  # characters of a file's name; file systems allow 255 bytes
_STALE = 3600.0  # seconds after which a half-written file has no writer any more
_MAX_NUMBER = 1e15
_TEXTS = ("id", "kind", "incident", "component", "severity", "subject", "text")
# A person who reads an incident's messages must read them in this order, however late they come.
_RANK = {PROBLEM: 0, PERSON_NEEDED: 1, REMINDER: 1, TEST: 1, RESOLVED: 2}


@dataclass(frozen=True)
class Note:
    """One event for the log, as `EventLog.event` takes it."""

    level: Level
    component: str
    name: str
    details: dict[str, object] = field(default_factory=dict)


@dataclass
class Progress:
    """How far one message is on one channel; times are seconds since the epoch.

    `done` is empty while there is work left, else delivered, given-up or superseded. `hold_until` is the moment
    before which the server asked to be left alone; `refused`: it answers, but does not want this message.
    """

    attempts: int = 0
    first_at: float = 0.0
    next_at: float = 0.0
    hold_until: float = 0.0
    refused: bool = False
    error: str = ""
    done: str = ""

    @classmethod
    def read(cls, raw: object) -> "Progress":
        """Take it from JSON.

        Raises:
            ValueError: it is damaged.
        """
        if not isinstance(raw, dict):
            raise ValueError("no progress")  # noqa: TRY004 - to the caller it is damage, not a type
        progress = cls(**{key: raw[key] for key in cls.__dataclass_fields__ if key in raw})
        numbers = (progress.attempts, progress.first_at, progress.next_at, progress.hold_until)
        texts = (progress.error, progress.done)
        if not all(map(_is_number, numbers)) or not all(isinstance(text, str) for text in texts):
            raise ValueError("no progress")
        return progress

    def further_than(self, other: "Progress") -> bool:
        """Tell which of two reports of the same delivery is the newer."""
        return (bool(self.done), self.attempts, self.next_at) > (bool(other.done), other.attempts, other.next_at)


@dataclass
class Entry:
    """A message and its progress on each channel, by the channel's key."""

    message: Message
    delivery: dict[str, Progress] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def read(cls, raw: object, path: Path | None = None) -> "Entry":
        """Take it from JSON.

        Raises:
            ValueError: it is no message, or a damaged one.
        """
        if not isinstance(raw, dict) or not all(isinstance(raw.get(key), str) for key in _TEXTS):
            raise ValueError("no message")
        if raw["kind"] not in KINDS or not raw["id"] or not _is_number(raw.get("at")):
            raise ValueError("no message")
        delivery = raw.get("delivery", {})
        if not isinstance(raw.get("incident_data"), dict) or not isinstance(delivery, dict):
            raise ValueError("no message")  # noqa: TRY004 - to the caller it is damage, not a type
        message = {key: value for key, value in raw.items() if key != "delivery"}
        return cls(message, {str(key): Progress.read(value) for key, value in delivery.items()}, path)

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into the file."""
        return {**self.message, "delivery": {key: asdict(progress) for key, progress in self.delivery.items()}}

    def on(self, channel: str) -> Progress:
        """Return its progress on a channel."""
        return self.delivery.setdefault(channel, Progress())

    def merge(self, delivery: dict[str, Progress]) -> None:
        """Take over what another report knows better."""
        for channel, progress in delivery.items():
            if progress.further_than(self.on(channel)):
                self.delivery[channel] = progress

    @property
    def order(self) -> tuple[int, float, str]:
        """Its place among the messages of its incident. The clock may have been put back in between."""
        return (_RANK[self.message["kind"]], self.message["at"], self.message["id"])


class Spool:
    """The monitor's side. Nothing here raises or waits for another process.

    Args:
        directory: for the files; made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes: list[Note] = []  # what the log must hear of; whoever logs empties it
        self.fresh = False  # whether a message came that no child has seen
        self._unsaved: dict[str, Entry] = {}
        self._known: dict[str, dict[str, Progress]] = {}  # of files that could not be changed
        self._works = True

    def put(self, message: Message) -> bool:
        """Take a message; the same one twice is once.

        Returns:
            whether it is safely on the disk; else it is in memory and will be written when that is possible.
        """
        self.fresh = True
        if message["id"] in self._unsaved:
            return False
        entry = Entry(message)
        if self._save(entry):
            return True
        self._unsaved[message["id"]] = entry
        self._trim_memory()
        return False

    def flush(self) -> None:
        """Write what is in memory only. Not to be called while a child works: it has its own copy of that."""
        for identifier, entry in list(self._unsaved.items()):
            if not self._save(entry):
                return
            del self._unsaved[identifier]

    def anything(self) -> bool:
        """Tell whether any message waits, whatever its state."""
        return bool(self._unsaved) or bool(_names(self.directory))

    def hand_over(self) -> bytes:
        """Return what a child must know that the files do not say: one JSON object a line."""
        lines = [json.dumps(entry.as_dict()) for entry in self._unsaved.values()]
        for identifier, delivery in self._known.items():
            progress = {key: asdict(value) for key, value in delivery.items()}
            lines.append(json.dumps({"id": identifier, "delivery": progress}))
        return "".join(f"{line}\n" for line in lines).encode()

    def learn(self, identifier: str, raw: object, *, finished: bool) -> None:
        """Take a child's word on a message whose file it could not change.

        Raises:
            ValueError: it is damaged.
        """
        if not isinstance(raw, dict):
            raise ValueError("no progress")  # noqa: TRY004 - to the caller it is damage, not a type
        delivery = {str(key): Progress.read(value) for key, value in raw.items()}
        if identifier in self._unsaved:
            if finished:
                del self._unsaved[identifier]
            else:
                self._unsaved[identifier].merge(delivery)
        else:
            self._known[identifier] = delivery
            while len(self._known) > MAX_MESSAGES:
                del self._known[next(iter(self._known))]

    def forget(self, identifiers: Iterable[str]) -> None:
        """Drop what was learned of messages whose files a child has changed since."""
        for identifier in identifiers:
            self._known.pop(identifier, None)

    def _save(self, entry: Entry) -> bool:
        name = _name(entry.message["id"])
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            names = _names(self.directory)
            if name in names:
                return True
            if len(names) >= MAX_MESSAGES:
                with locked(self.directory) as held:
                    if not held:
                        return False  # a child works; when it has ended there will be room, or its lock
                    if entry.message["id"] in self._make_room(entry):
                        return True
            write_atomically(self.directory / name, entry.as_dict())
            _sync(self.directory)
        except (OSError, TypeError, ValueError) as error:
            if self._works:
                self._works = False
                cause = getattr(error, "strerror", None) or type(error).__name__
                self.notes.append(
                    Note(Level.ERROR, "monitor", "alert-not-saved", {"cause": cause, "kept": "in memory"})
                )
            return False
        self._works = True
        return True

    def _make_room(self, newcomer: Entry) -> set[str]:
        """Drop from the disk what matters least, which may be the newcomer itself; return what was dropped."""
        entries = [newcomer, *_read_all(self.directory, on_damage=self._damaged)]
        dropped = set()
        for entry in least_important(entries, len(entries) - MAX_MESSAGES):
            if entry.path is not None:
                entry.path.unlink(missing_ok=True)
            dropped.add(entry.message["id"])
            self._tell_dropped(entry)
        return dropped

    def _trim_memory(self) -> None:
        for entry in least_important(list(self._unsaved.values()), len(self._unsaved) - MAX_MESSAGES):
            del self._unsaved[entry.message["id"]]
            self._tell_dropped(entry)

    def _tell_dropped(self, entry: Entry) -> None:
        details = {"id": entry.message["id"], "cause": f"more than {MAX_MESSAGES} messages wait"}
        self.notes.append(Note(Level.ERROR, entry.message["component"], "alert-dropped", details))

    def _damaged(self, name: str, _moved: bool) -> None:  # noqa: FBT001 - the signature of the callback
        self.notes.append(Note(Level.ERROR, "monitor", "alert-damaged", {"file": name}))


class Backlog:
    """The child's side: all messages, by incident. Its methods may be called by several threads.

    Args:
        directory: the spool.
        handed_over: lines that the monitor gave along.
        report: takes one event for the monitor, a JSON object.
    """

    def __init__(self, directory: Path, handed_over: Iterable[bytes], report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report
        self._mutex = threading.Lock()
        entries = {entry.message["id"]: entry for entry in _read_all(directory, on_damage=self._damaged)}
        self._learned: set[str] = set()
        for line in handed_over:
            with contextlib.suppress(ValueError, RecursionError):
                self._take(json.loads(line), entries)
        # What the monitor learned of a file that is gone has served its purpose.
        gone = self._learned - entries.keys()
        if gone:
            report({"event": "forget", "ids": sorted(gone)})
        self._entries = entries
        _clean_up(directory)

    def incidents(self) -> list[list[Entry]]:
        """Return the messages of each incident in their order, the incidents by age."""
        groups: dict[str, list[Entry]] = {}
        with self._mutex:
            entries = list(self._entries.values())
        for entry in entries:
            groups.setdefault(entry.message["incident"] or entry.message["id"], []).append(entry)
        ordered = [sorted(group, key=lambda entry: entry.order) for group in groups.values()]
        return sorted(ordered, key=lambda group: min(entry.message["at"] for entry in group))

    def note(self, entry: Entry, channels: Collection[str]) -> None:
        """Keep an entry's changed progress; remove it when no channel has work left."""
        with self._mutex:
            identifier = entry.message["id"]
            finished = all(entry.on(channel).done for channel in channels)
            if finished:
                self._entries.pop(identifier, None)
            if _update(entry, finished=finished):
                if identifier in self._learned:
                    self._learned.discard(identifier)
                    self._report({"event": "forget", "ids": [identifier]})
            else:
                # There is no file, or the disk is full or read-only: the monitor remembers, and tells the next child.
                delivery = entry.as_dict()["delivery"]
                self._report({"event": "progress", "id": identifier, "delivery": delivery, "finished": finished})

    def _take(self, raw: object, entries: dict[str, Entry]) -> None:
        if isinstance(raw, dict) and raw.keys() == {"id", "delivery"}:
            self._learned.add(str(raw["id"]))
            if raw["id"] in entries:
                entries[raw["id"]].merge({str(key): Progress.read(value) for key, value in raw["delivery"].items()})
            return
        entry = Entry.read(raw)
        known = entries.setdefault(entry.message["id"], entry)
        if known is not entry:
            known.merge(entry.delivery)

    def _damaged(self, name: str, moved: bool) -> None:  # noqa: FBT001 - the signature of the callback
        self._report({"event": "damaged", "file": name, "moved": moved})


def least_important(entries: Collection[Entry], count: int) -> list[Entry]:
    """Choose what to drop: the oldest reminders, then the oldest incidents that are over, then the oldest of all.

    The messages of an incident that is over go together, so there may be some more than `count`.
    """
    by_age = sorted(entries, key=lambda entry: (entry.message["at"], entry.message["id"]))
    chosen = [entry for entry in by_age if entry.message["kind"] == REMINDER][: max(0, count)]
    left = [entry for entry in by_age if entry.message["kind"] != REMINDER]
    ends = {_incident(entry): entry.message["at"] for entry in left if entry.message["kind"] == RESOLVED}
    over = sorted(
        (entry for entry in left if _incident(entry) in ends), key=lambda entry: (ends[_incident(entry)], entry.order)
    )
    for _, messages in groupby(over, key=_incident):
        if len(chosen) >= count:
            break
        chosen += messages
    open_ones = [entry for entry in left if _incident(entry) not in ends]
    return chosen + open_ones[: max(0, count - len(chosen))]


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[bool]:
    """Hold the spool's lock where no other process does; the kernel lets go of it when the process ends.

    Yields:
        whether it is held.

    Raises:
        OSError: there is no such directory.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _update(entry: Entry, *, finished: bool) -> bool:
    """Rewrite or remove an entry's file; False where that cannot be."""
    if entry.path is None:
        return False
    try:
        if finished:
            entry.path.unlink(missing_ok=True)
        else:
            write_atomically(entry.path, entry.as_dict())
    except OSError:
        return False
    return True


def _incident(entry: Entry) -> str:
    return str(entry.message["incident"] or entry.message["id"])


def _name(identifier: str) -> str:
    """Make a file's name, a different one for each message."""
    name = quote(identifier, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME]}~{zlib.crc32(identifier.encode()):08x}"
    return f"{name}{_SUFFIX}"


def _names(directory: Path) -> set[str]:
    """Return the names of the messages' files; none where the directory cannot be read."""
    try:
        names = {path.name for path in directory.iterdir()}
    except OSError:
        return set()
    return {name for name in names if name.endswith(_SUFFIX) and not name.startswith(".")}


def _read_all(directory: Path, on_damage: Callable[[str, bool], None]) -> Iterator[Entry]:
    """Read every message; a damaged file is moved aside, where nobody reads it again.

    Args:
        directory: the spool.
        on_damage: called with the name of a damaged file, and whether it could be moved aside.
    """
    for name in sorted(_names(directory)):
        path = directory / name
        try:
            yield Entry.read(json.loads(_content(path)), path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError):
            on_damage(name, _move_aside(path))


def _content(path: Path) -> bytes:
    """Read a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no plain file, or larger than any message.
    """
    # Not to wait, should it be a pipe that somebody has put there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _MAX_FILE:
            raise ValueError("no message")
        return file.read(_MAX_FILE)


def _move_aside(path: Path) -> bool:
    try:
        path.rename(path.with_name(f"{path.name}{_DAMAGED_SUFFIX}"))
    except OSError:
        return False
    return True


def _clean_up(directory: Path) -> None:
    """Remove what killed processes left behind, and the older of the damaged files."""
    with contextlib.suppress(OSError):
        damaged = sorted(directory.glob(f"*{_DAMAGED_SUFFIX}"), key=lambda path: path.lstat().st_ctime)
        old = [path for path in directory.glob(".*") if path.lstat().st_mtime < time.time() - _STALE]
        for path in [*damaged[:-_MAX_DAMAGED], *old]:
            path.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """Have the disk know a new file's name, too, before it counts as safe."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_number(value: object) -> bool:
    # The bound is far beyond any date; JSON has whole numbers that no float can hold.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
