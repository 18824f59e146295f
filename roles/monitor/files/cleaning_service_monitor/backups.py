"""The backups, as `cleaning-service-backup` reports them: whether they are recent, sound and proven by restoring.

A fault has a headline, and may have a detail: what the backup's program said, with paths and addresses in it. Headlines
may be published, details never.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

from cleaning_service_monitor.ladder import DAY, HOUR, Health, Verdict

BACKUP = "backup"  # the component's name

_REPOSITORIES = ("local", "remote")
_REPLICA = "replica"
_DRILL_AGE = 8 * DAY  # a drill is due every week
_REPLICA_PATIENCE = 60.0  # seconds for which the replica may be behind, silent or failing
_FUTURE = 2 * HOUR  # by which a moment may be ahead: the clock may have been put right since
_MAX_MOMENT = 253402300800.0  # the year 10000
_MAX_NUMBER = 10**12
_MAX_REPORT = 1_000_000  # bytes; a report has some hundreds
_MAX_DETAIL = 120  # characters
_BETWEEN, _BEFORE_DETAIL = "; ", ": "  # of the faults in a cause
_SEE = "see `cleaning-service-backup status`"

_Entry = TypeVar("_Entry")


class _DamagedError(Exception):
    """A report is not what its writer writes; the text is for a person on the host."""


class _Rank(IntEnum):
    """What is worse comes first."""

    UNKNOWN = 0  # whether there is any backup
    UNSOUND = 1  # a repository is damaged
    OLD = 2  # the writes since then are in no backup
    UNRESTORABLE = 3  # a drill failed
    BEHIND = 4  # the replica
    UNPROVEN = 5  # no drill of late


@dataclass(frozen=True)
class _Fault:
    rank: _Rank
    source: str  # a repository or the replica; empty for all of them
    headline: str
    detail: str = ""


@dataclass(frozen=True)
class _Repository:
    name: str
    at: float | None
    failure: str
    check_failure: str

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "_Repository":
        return cls(
            name=_one_of(entry["name"], _REPOSITORIES),
            at=None if entry["at"] is None else _number(entry["at"], _MAX_MOMENT),
            failure=_text(entry["failure"]),
            check_failure=_text(entry["check_failure"]),
        )


@dataclass(frozen=True)
class _Drill:
    source: str
    at: float
    failure: str
    bookings: int | None
    seconds: float | None

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "_Drill":
        return cls(
            source=_one_of(entry["source"], (*_REPOSITORIES, _REPLICA)),
            at=_number(entry["at"], _MAX_MOMENT),
            failure=_text(entry["failure"]),
            bookings=None if entry["bookings"] is None else int(_number(entry["bookings"])),
            seconds=None if entry["seconds"] is None else _number(entry["seconds"]),
        )


@dataclass(frozen=True)
class _Replica:
    written: float
    behind: float
    failure: str

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "_Replica":
        return cls(_number(entry["written"], _MAX_MOMENT), _number(entry["behind"]), _text(entry["failure"]))


@dataclass(frozen=True)
class _Report:
    """What could be read of status.json.

    Attributes:
        replica: whether a replica is set; None where that is not known.
        damage: what could not be read; empty when all could.
        missing: whether there is no report at all.
    """

    repositories: Sequence[_Repository] = ()
    drills: Sequence[_Drill] = ()
    replica: bool | None = None
    damage: str = ""
    missing: bool = False

    def drill(self, source: str) -> _Drill | None:
        """The last one of a source."""
        return max((drill for drill in self.drills if drill.source == source), key=lambda drill: drill.at, default=None)


class Backups:
    """Judges the backups by the reports beside the service.

    Args:
        directory: of the service.
        max_age: seconds after which the newest backup of a repository is too old.
    """

    def __init__(self, directory: Path, max_age: float) -> None:
        self._settings = directory / "backup.json"
        self._status = directory / "backup" / "status.json"
        self._replica = directory / "backup" / "replica.json"
        self._max_age = max_age
        self._failing_since: float | None = None  # the replica, on the steady clock
        self.public: list[dict[str, Any]] = []
        """What the last look found of each repository and of the replica, for everybody."""

    def look(self, wall: float, steady: float) -> Verdict:
        """Judge everything.

        Args:
            wall: seconds since the epoch.
            steady: seconds of a clock that only grows.
        """
        report = _report(self._status)
        waited, unset = self._waited(wall)
        replica, replica_faults = self._look_at_replica(report, wall, steady, waited)
        faults = [
            *unset,
            *self._of_report(report, waited),
            *self._of_repositories(report, wall, waited),
            *_of_drills(report, wall, waited),
            *replica_faults,
        ]
        faults.sort(key=lambda fault: fault.rank)
        self.public = _public(report, replica, faults)
        return Verdict(BACKUP, Health.DEGRADED, _cause(faults)) if faults else Verdict(BACKUP, Health.OK)

    def _waited(self, wall: float) -> tuple[float, list[_Fault]]:
        """How long a first backup could have been made: since the playbook wrote the settings."""
        try:
            waited = wall - self._settings.stat().st_mtime
        except OSError:
            return _MAX_MOMENT, [_Fault(_Rank.UNKNOWN, "", "the backups are not set up", "run site.yml")]
        return _MAX_MOMENT if waited < -_FUTURE else waited, []

    def _of_report(self, report: _Report, waited: float) -> list[_Fault]:
        if report.damage:
            return [_Fault(_Rank.UNKNOWN, "", "the report of the backups cannot be read", report.damage)]
        if not report.repositories and waited > self._max_age:
            detail = f"{self._status.name} is missing" if report.missing else ""
            return [_Fault(_Rank.UNKNOWN, "", "no backup has been reported yet", detail)]
        return []

    def _of_repositories(self, report: _Report, wall: float, waited: float) -> list[_Fault]:
        faults = []
        for each in report.repositories:
            name, old, detail = f"{each.name} backup", "", each.failure
            if each.at is None:
                old = f"there is no {name} yet" if waited > self._max_age else ""
            elif wall - each.at > self._max_age:
                old = f"there has been no {name} since {_moment(each.at)}"
            elif each.at - wall > _FUTURE:
                old, detail = f"the newest {name} is dated ahead of the clock", f"{_moment(each.at)}, see `timedatectl`"
            if old:
                faults.append(_Fault(_Rank.OLD, each.name, old, detail))
            if each.check_failure:
                unsound = f"the check of the {each.name} repository failed"
                faults.append(_Fault(_Rank.UNSOUND, each.name, unsound, each.check_failure))
        return faults

    def _look_at_replica(
        self, report: _Report, wall: float, steady: float, waited: float
    ) -> tuple[_Replica | None, list[_Fault]]:
        """Return what is known of the replica now, and its faults."""
        # Where the report does not tell whether one is set, the file does.
        wanted = self._replica.exists() if report.replica is None else report.replica
        if not wanted:
            self._failing_since = None
            return None, []
        try:
            replica = _read_replica(self._replica)
        except FileNotFoundError:
            return None, [_silent(f"{self._replica.name} is missing")] if waited > _REPLICA_PATIENCE else []
        except _DamagedError as error:
            return None, [_silent(str(error))]
        if abs(wall - replica.written) > _REPLICA_PATIENCE:
            return None, [_silent(f"its last word is of {_moment(replica.written)}")]
        if not replica.failure:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = steady
        headline = ""
        if replica.behind > _REPLICA_PATIENCE:
            headline = f"the replica is more than {_REPLICA_PATIENCE:.0f} s behind"
        elif self._failing_since is not None and steady - self._failing_since > _REPLICA_PATIENCE:
            headline = "the replica fails"
        return replica, [_Fault(_Rank.BEHIND, _REPLICA, headline, replica.failure)] if headline else []


def published(cause: str) -> str:
    """Return what everybody may read of a cause: its headlines."""
    return _BETWEEN.join(headlines(cause))


def has_news(cause: str, told: str) -> bool:
    """Whether a cause has a fault that the one told before has not."""
    return bool(set(headlines(cause)) - set(headlines(told)))


def headlines(cause: str) -> list[str]:
    """Return a cause's faults, the worst first, without their details."""
    parts = [part.split(_BEFORE_DETAIL, 1)[0] for part in cause.split(_BETWEEN)]
    return [part for part in parts if part != _SEE]


def _cause(faults: Sequence[_Fault]) -> str:
    """Name all faults; of several, only the worst with its detail, so that a message has room for all."""
    told = [fault.headline for fault in faults]
    detail = "".join(letter if letter.isprintable() else " " for letter in faults[0].detail)
    if detail := " ".join(detail.split()).replace(_BETWEEN, ", "):
        cut = detail if len(detail) <= _MAX_DETAIL else f"{detail[: _MAX_DETAIL - 3]}..."
        told[0] += f"{_BEFORE_DETAIL}{cut.rstrip('.;')}"
    return _BETWEEN.join((*told, _SEE))


def _of_drills(report: _Report, wall: float, waited: float) -> list[_Fault]:
    faults = []
    sources = [(each.name, f"{each.name} backup", each.at is not None) for each in report.repositories]
    sources += [(_REPLICA, _REPLICA, True)] if report.replica else []
    for source, name, possible in sources:
        drill = report.drill(source)
        unproven = ""
        if drill is None:
            unproven = f"no drill of the {name} has run yet" if possible and waited > _DRILL_AGE else ""
        elif drill.failure:
            failed = f"the drill of the {name} failed"
            faults.append(_Fault(_Rank.UNRESTORABLE, source, failed, drill.failure))
        elif wall - drill.at > _DRILL_AGE:
            unproven = f"there has been no drill of the {name} since {_moment(drill.at)}"
        elif drill.at - wall > _FUTURE:
            unproven = f"the last drill of the {name} is dated ahead of the clock"
        if unproven:
            faults.append(_Fault(_Rank.UNPROVEN, source, unproven))
    return faults


def _silent(detail: str) -> _Fault:
    return _Fault(_Rank.BEHIND, _REPLICA, "the replica does not report how it is", detail)


def _public(report: _Report, replica: _Replica | None, faults: Iterable[_Fault]) -> list[dict[str, Any]]:
    faulty = {fault.source for fault in faults}
    sources: list[dict[str, Any]] = [{"name": each.name, "at": each.at, "behind": None} for each in report.repositories]
    if report.replica or replica is not None:
        sources.append({"name": _REPLICA, "at": None, "behind": replica.behind if replica else None})
    for source in sources:
        name, drill = source["name"], report.drill(source["name"])
        seen = source["at"] is not None or source["behind"] is not None
        source["health"] = "degraded" if name in faulty else "ok" if seen else "unknown"
        source["drill"] = drill and {
            "at": drill.at,
            "succeeded": not drill.failure,
            "bookings": drill.bookings,
            "seconds": drill.seconds,
        }
    return sources


def _report(path: Path) -> _Report:
    """Read status.json; of a damaged one, what can be read."""
    try:
        found = _load(path)
    except FileNotFoundError:
        return _Report(missing=True)
    except _DamagedError as error:
        return _Report(damage=str(error))
    damage: list[str] = []
    repositories = _entries(found, "repositories", _Repository.read, damage)
    drills = _entries(found, "drills", _Drill.read, damage)
    replica = found.get("replica", "")
    if replica is not None and not isinstance(replica, dict):
        damage.append(_REPLICA)
    return _Report(
        repositories=tuple({each.name: each for each in repositories}.values()),
        drills=drills,
        replica=None if _REPLICA in damage else replica is not None,
        damage=f"{path.name} is damaged ({', '.join(damage)})" if damage else "",
    )


def _entries(
    found: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any]], _Entry], damage: list[str]
) -> list[_Entry]:
    """Read the entries of a list that can be read; the others are noted."""
    entries = found.get(key)
    if not isinstance(entries, list):
        damage.append(key)
        return []
    result = [(f"{key}[{number}]", _readable(entry, read)) for number, entry in enumerate(entries)]
    damage += [place for place, entry in result if entry is None]
    return [entry for _, entry in result if entry is not None]


def _readable(entry: Mapping[str, Any], read: Callable[[Mapping[str, Any]], _Entry]) -> _Entry | None:
    try:
        return read(entry)
    except (KeyError, TypeError, ValueError):
        return None


def _read_replica(path: Path) -> _Replica:
    """Read replica.json.

    Raises:
        FileNotFoundError: there is none.
        _DamagedError: it cannot be read, or is something else.
    """
    try:
        return _Replica.read(_load(path))
    except (KeyError, TypeError, ValueError) as error:
        raise _DamagedError(f"{path.name} is damaged") from error


def _load(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileNotFoundError: there is none.
        _DamagedError: it cannot be read, or is something else.
    """
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_REPORT).decode())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _DamagedError(f"{path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"{path.name} is not valid JSON") from error
    if not isinstance(found, dict):
        raise _DamagedError(f"{path.name} is not a JSON object")
    return found


def _moment(value: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(value))


def _number(value: object, highest: float = _MAX_NUMBER) -> float:
    """Return a number that is none of JSON's strange ones.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < highest:
        raise ValueError("must be a number")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    return value


def _one_of(value: object, names: Sequence[str]) -> str:
    if value not in names:
        raise ValueError("must be a name that is known")
    return str(value)
