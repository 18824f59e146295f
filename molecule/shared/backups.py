"""What the tests of backups share: the program on the host, what it knows, and the far side."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from converged import API, API_2, DIRECTORY, address, healthy, new_user, wait_until
from ledger import Writer
from testinfra.host import Host

REPOSITORIES = ("local", "remote")
SOURCES = (*REPOSITORIES, "replica")
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
GARBAGE = f"dd if=/dev/urandom of={DATABASE} bs=4096 seek=1 count=40 conv=notrunc"
"""Damages the live database."""
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


@dataclass(frozen=True)
class Kept:
    """A backup.

    Attributes:
        writer: whose writes are all in it.
        person: who registered before it.
        before: how many backups each repository had until then.
    """

    writer: DatedWriter
    person: dict[str, str]
    before: dict[str, int]


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
    return all_listed(host)[name]


def all_listed(host: Host) -> dict[str, list[dict[str, Any]]]:
    """Return the backups of each repository, oldest first."""
    found = json.loads(host.check_output(f"{PROGRAM} list --json"))
    return {name: [dict(each) for each in found if each["repository"] == name] for name in REPOSITORIES}


def set_aside(host: Host) -> set[str]:
    """Return what restores have set aside."""
    return set(host.run(f"ls {SET_ASIDE}").stdout.split())


def outside() -> httpx.Client:
    """Return a client outside the host, which sees what the world sees."""
    return httpx.Client(base_url=f"http://{address()}", timeout=40, trust_env=False)


def register(world: httpx.Client) -> dict[str, str]:
    """Register somebody, through the proxy."""
    person = new_user()
    answer = world.post("/api/v1/auth/register", json=person)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return person


def logs_in(world: httpx.Client, person: dict[str, str]) -> bool:
    """Whether somebody can sign in."""
    answer = world.post("/api/v1/auth/login", json={key: person[key] for key in ("email", "password")})
    assert answer.status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED), answer.text
    return bool(answer.status_code == httpx.codes.OK)


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

    def restore(self, within: float | None = None) -> tuple[float, bool]:
        """Kill the main process of a restore from the history.

        Args:
            within: so many seconds, at a random moment; None for while the database is being exchanged.

        Returns:
            The moment, and whether the database was being exchanged.
        """
        self.host.check_output(f"systemd-run --collect --unit test-restore {PROGRAM} restore --from history")
        wait_until(lambda: bool(units(self.host)), 30, "the restore in its unit")
        began = time.monotonic()
        if within is None:
            wait_until(lambda: self.host.file(UNDER_WAY).exists, 60, "the exchange")
        else:
            time.sleep(self.chosen.uniform(0.3, within))
        moment, exchanging = time.monotonic() - began, self.host.file(UNDER_WAY).exists
        for unit in units(self.host):
            self.host.run(f"systemctl kill --kill-whom main --signal KILL {unit}")
        wait_until(lambda: not units(self.host) and idle(self.host, "test-restore"), _LONGEST, "the end of the restore")
        return moment, exchanging
