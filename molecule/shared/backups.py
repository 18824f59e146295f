"""What the tests of backups share: the program on the host, what it knows, and the far side."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

from converged import API, API_2, DIRECTORY, healthy, wait_until
from ledger import Writer
from testinfra.host import Host

FAR = "cleaning-service-far"
FAR_FILES = "/srv/repositories"
FAR_SERVER = "far-rest-server.service"
LOCAL_FILES = "/var/backups/cleaning-service"
PROGRAM = "cleaning-service-backup"
TIMERS = "cleaning-service-backup.timer cleaning-service-backup-drill.timer"
RUN = "cleaning-service-backup.service"
MAINTAIN = "cleaning-service-backup-drill.service"
SET_ASIDE = f"{DIRECTORY}/data/set-aside"
DATABASE = f"{DIRECTORY}/data/cleaning_service_stable.db"
UNDER_WAY = f"{DIRECTORY}/backup/restore-under-way.json"
_UNIT = re.compile(r"cleaning-service-backup-\d+\.service")
_LONGEST = 180.0  # seconds


class DatedWriter(Writer):
    """A writer that knows when each write was acknowledged, in seconds since the epoch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at: dict[str, float] = {}

    def _acknowledged(self, path: str, body: Any, due: float) -> bool:  # noqa: ANN401  # as its parent's
        acknowledged = super()._acknowledged(path, body, due)
        if acknowledged:
            self.at[str(body.get("email") or body["address"])] = time.time()
        return acknowledged


def status(host: Host) -> dict[str, Any]:
    """Return what the program knows of its backups."""
    found: dict[str, Any] = json.loads(host.run(f"{PROGRAM} status --json").stdout)
    return found


def repository(host: Host, name: str) -> dict[str, Any]:
    """Return what it knows of one repository."""
    return next(dict(each) for each in status(host)["repositories"] if each["name"] == name)


def drill(host: Host, name: str) -> dict[str, Any]:
    """Return how the last drill of one repository went."""
    return next(dict(each) for each in status(host)["drills"] if each["source"] == name)


def listed(host: Host, name: str) -> list[dict[str, Any]]:
    """Return the backups that one repository has, oldest first."""
    found = json.loads(host.check_output(f"{PROGRAM} list --json"))
    return [dict(each) for each in found if each["repository"] == name]


def answers(host: Host) -> bool:
    """Whether both replicas are healthy."""
    return healthy(host, API) and healthy(host, API_2)


def idle(host: Host, unit: str) -> bool:
    """Whether a unit has ended."""
    state = host.run(f"systemctl show --property ActiveState --value {unit}").stdout.strip()
    return state in ("inactive", "failed")


def units(host: Host) -> list[str]:
    """Return the units that restores run in just now, with what they do when they end."""
    shown = host.run("systemctl list-units --all --plain --no-legend 'cleaning-service-backup-*'").stdout
    return _UNIT.findall(str(shown))


@dataclass
class Killed:
    """Kills programs in the middle, at moments that are the same in each run of the tests."""

    host: Host
    chosen: random.Random = field(default_factory=lambda: random.Random(20261129))  # noqa: S311

    def service(self, unit: str, within: float) -> float:
        """Kill all of a service at a random moment of so many seconds; returns the moment."""
        self.host.check_output(f"systemctl start --no-block {unit}")
        moment = self.chosen.uniform(0.3, within)
        time.sleep(moment)
        self.host.run(f"systemctl kill --signal KILL {unit}")
        wait_until(lambda: idle(self.host, unit), _LONGEST, f"the end of {unit}")
        self.host.run(f"systemctl reset-failed {unit}")
        return moment

    def restore(self, within: float) -> tuple[float, bool]:
        """Kill a restore's main process likewise; returns the moment, and whether the database was being exchanged."""
        self.host.check_output(f"systemd-run --collect --unit test-restore {PROGRAM} restore")
        wait_until(lambda: bool(units(self.host)), 30, "the restore in its unit")
        moment = self.chosen.uniform(0.3, within)
        time.sleep(moment)
        exchanging = self.host.file(UNDER_WAY).exists
        for unit in units(self.host):
            self.host.run(f"systemctl kill --kill-whom main --signal KILL {unit}")
        wait_until(lambda: not units(self.host) and idle(self.host, "test-restore"), _LONGEST, "the end of the restore")
        return moment, exchanging
