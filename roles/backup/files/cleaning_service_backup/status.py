"""What is known of backups and of their proofs, for people, for the monitor and for the next run."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.files import read_json, write_atomically

from cleaning_service_backup.settings import Settings

_REPOSITORY: Mapping[str, Any] = {
    "identity": "", "at": None, "failure": "", "failed_at": None, "snapshots": 0, "bytes": 0, "seconds": 0.0,
    "checked": None, "check_failure": "",
}  # fmt: skip


class Status:
    """The file status.json. Whoever writes it holds the lock of this program.

    Args:
        path: of the file.
        settings: which repositories there are, and whether there is a replica.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings

    def read(self) -> dict[str, Any]:
        """Return all of it, with an entry for each repository that is set, and none for others."""
        found = read_json(self._path)
        known = {
            each["name"]: each for each in found.get("repositories", []) if isinstance(each, dict) and "name" in each
        }
        names = [repository.name for repository in self._settings.repositories]
        return {
            "repositories": [{"name": name, **_REPOSITORY, **known.get(name, {})} for name in names],
            "drills": [each for each in found.get("drills", []) if each.get("source") in (*names, "replica")],
            "replica": {"set": True} if self._settings.replica else None,
        }

    def repository(self, name: str) -> dict[str, Any]:
        """Return what is known of one repository."""
        return next(dict(each) for each in self.read()["repositories"] if each["name"] == name)

    def note(self, name: str, **news: object) -> None:
        """Write down what there is to tell of a repository.

        Raises:
            OSError: it cannot be written.
        """
        found = self.read()
        found["repositories"] = [{**each, **(news if each["name"] == name else {})} for each in found["repositories"]]
        write_atomically(self._path, found)

    def note_drill(self, source: str, **outcome: object) -> None:
        """Write down how the last drill of one source went.

        Raises:
            OSError: it cannot be written.
        """
        found = self.read()
        others = [each for each in found["drills"] if each["source"] != source]
        found["drills"] = [*others, {"source": source, "at": time.time(), **outcome}]
        write_atomically(self._path, found)


def told(found: Mapping[str, Any], replica: Mapping[str, Any], now: float) -> tuple[list[str], bool]:
    """Return the status as lines for people, and whether all of it is well.

    Args:
        found: what Status.read returns.
        replica: what the file replica.json holds.
        now: seconds since the epoch.
    """
    lines, well = [], True
    for each in found["repositories"]:
        name, at = each["name"], each["at"]
        if at is None:
            lines.append(f"{name}: no backup yet")
        else:
            lines.append(
                f"{name}: {each['snapshots']} backups, the newest of {moment(at)} ({age(now - at)} ago), "
                f"{each['bytes'] / 1e6:.1f} MB in all"
            )
        for what in (each["failure"], each["check_failure"]):
            if what:
                well = False
                lines.append(f"{name}: FAILED: {what}")
    for each in found["drills"]:
        if each.get("failure"):
            well = False
            lines.append(f"{each['source']}: the drill of {moment(each['at'])} FAILED: {each['failure']}")
        else:
            lines.append(
                f"{each['source']}: last proven {moment(each['at'])} ({age(now - each['at'])} ago): data of "
                f"{moment(each['moment'])}, {each['bookings']} bookings, took {each['seconds']:.0f} s"
            )
    if not found["drills"]:
        lines.append(
            "not proven yet: `cleaning-service-backup drill` restores the newest backup beside what runs, and tries it"
        )
    if found["replica"]:
        failure, behind = str(replica.get("failure", "") or ""), replica.get("behind")
        if failure or behind is None:
            well = False
            lines.append(f"replica: FAILED: {failure or 'nobody has looked at it yet'}")
        else:
            lines.append(f"replica: {float(behind):.0f} s behind")
    return lines, well


def moment(seconds: float) -> str:
    """Return a moment as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def age(seconds: float) -> str:
    """Return a duration in the unit that fits."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
