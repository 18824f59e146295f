"""The host itself: disk, memory, clock, certificate, backups, the last release, once a day the database's integrity.

Only a full disk is SICK, because only a full disk has a cure. Everything else is DEGRADED: for a person.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaning_service_host.commands import Command, CommandError, last_line

from cleaning_service_monitor.backups import BACKUP, Backups
from cleaning_service_monitor.config import Config
from cleaning_service_monitor.ladder import DAY, DISK, HOUR, Health, Verdict

_JUMP = 5.0  # seconds by which the clock may move against the one that only grows
_JUMP_TOLD = 600.0  # seconds for which a jump is told
_CLOCK_GRACE = 900.0  # seconds after the start in which the clock may be synchronised
_PERCENT = 100.0
UNTRUSTED_CERTIFICATE = "the certificate cannot be trusted"


@dataclass(frozen=True)
class Clocks:
    """The two clocks, to be replaced in tests; both in seconds."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


_DOCKER_SETTINGS = Path("/etc/docker/daemon.json")
_RELEASE_LONGEST = 1800.0  # seconds


class _Errand:
    """A command that runs beside the loop now and then; its last outcome stands until the next.

    Args:
        command: program and arguments.
        timeout: seconds.
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._command = command
        self._timeout = timeout
        self._running: Command | None = None
        self.failure = ""
        self.said = ""
        self.ended_at: float | None = None

    def begin(self) -> None:
        """Start it, unless it runs."""
        if self._running:
            return
        try:
            self._running = Command(self._command, self._timeout)
        except CommandError as error:
            self.failure, self.ended_at = str(error), time.monotonic()

    def poll(self) -> None:
        """Take in the outcome where there is one."""
        if self._running is None:
            return
        try:
            said = self._running.wait(0)
            failure = ""
        except CommandError as error:
            said, failure = "", str(error)
        if said is not None:
            self._running, self.said, self.failure, self.ended_at = None, last_line(said), failure, time.monotonic()

    def close(self) -> None:
        """End it."""
        if self._running:
            self._running.close()


class HostChecker:
    """Looks at the host. Everything that could take long runs beside the loop.

    Args:
        config: the settings.
        clocks: other than the system's, for tests.
    """

    def __init__(self, config: Config, clocks: Clocks | None = None) -> None:
        self._config = config
        self._settings = config.host
        self._clocks = clocks or Clocks()
        self._begun = self._clocks.steady()
        self._offset = self._clocks.wall() - self._begun
        self._jumped: tuple[float, float] | None = None  # when, on the steady clock, and by how much
        own = [sys.executable, "-m", "cleaning_service_monitor"]
        name, port = self._settings.certificate_name, str(self._settings.certificate_port)
        self._certificate = _Errand([*own, "read-certificate", name, port], 30)
        self._synchronised = _Errand(["timedatectl", "show", "--property=NTPSynchronized", "--value"], 10)
        one_off = ["run", "--rm", "--no-deps", "-T", "--env", "LOG_FILE=", "api", "check-database"]
        self._integrity = _Errand([*config.compose, *one_off], HOUR)
        self._integrity_on = ""  # the day of the last check
        self._backups = Backups(config.directory, self._settings.backup_max_age)
        self._next: dict[str, float] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked at."""
        wanted = {
            DISK: True,
            "memory": True,
            "clock": True,
            "certificate": bool(self._settings.certificate_name),
            BACKUP: self._settings.backups,
            "database": self._settings.integrity_hour is not None,
            "release": True,
        }
        return tuple(name for name, here in wanted.items() if here)

    @property
    def backups(self) -> list[dict[str, Any]] | None:
        """What everybody may know of each backup, as of the last look; None where there are none to look at."""
        return self._backups.public if self._settings.backups else None

    def look(self) -> list[Verdict]:
        """Judge everything; takes no longer than a few calls of the system."""
        looks = {
            DISK: self._disk,
            "memory": self._memory,
            "clock": self._clock,
            "certificate": self._certificate_end,
            BACKUP: self._backup,
            "database": self._database,
            "release": self._release,
        }
        return [looks[name]() for name in self.names]

    def close(self) -> None:
        """End what runs beside the loop."""
        for errand in (self._certificate, self._synchronised, self._integrity):
            errand.close()

    def _disk(self) -> Verdict:
        """Space and inodes where the database, Docker and the logs live."""
        worst, cause = _PERCENT, ""
        for path in (self._config.directory / "data", _docker_root(), Path("/var/log")):
            try:
                found = os.statvfs(path)
            except OSError:
                continue  # not there yet, or no longer; the components tell
            left = {"space": (found.f_bavail, found.f_blocks), "inodes": (found.f_favail, found.f_files)}
            for what, (free, total) in left.items():
                percent = _PERCENT * free / total if total else _PERCENT
                if percent < worst:
                    worst, cause = percent, f"{percent:.1f} % of the {what} of {path} is free"
        if worst < self._settings.disk_full_percent:
            return Verdict(DISK, Health.SICK, cause)
        if worst < self._settings.disk_degraded_percent:
            return Verdict(DISK, Health.DEGRADED, cause)
        return Verdict(DISK, Health.OK)

    def _memory(self) -> Verdict:
        percent = memory_available()
        if percent is not None and percent < self._settings.memory_degraded_percent:
            return Verdict("memory", Health.DEGRADED, f"{percent:.1f} % of the memory is available")
        return Verdict("memory", Health.OK)

    def _clock(self) -> Verdict:
        now = self._clocks.steady()
        offset = self._clocks.wall() - now
        if abs(offset - self._offset) > _JUMP:
            self._jumped = (now, offset - self._offset)
        self._offset = offset
        if self._jumped and now - self._jumped[0] < _JUMP_TOLD:
            return Verdict("clock", Health.DEGRADED, f"the clock jumped by {self._jumped[1]:+.0f} s")
        if self._settings.clock:
            self._synchronised.poll()
            self._run_every(self._synchronised, "clock", 60)
            if self._synchronised.said == "no" and now - self._begun > _CLOCK_GRACE:
                return Verdict("clock", Health.DEGRADED, "the clock is not synchronised: timedatectl timesync-status")
        return Verdict("clock", Health.OK)

    def _certificate_end(self) -> Verdict:
        self._certificate.poll()
        self._run_every(self._certificate, "certificate", HOUR, 60)
        if self._certificate.failure:
            reason = self._certificate.failure.split(": ", 1)[-1]
            return Verdict("certificate", Health.DEGRADED, f"{UNTRUSTED_CERTIFICATE}: {reason}")
        if self._certificate.said:
            days = (float(self._certificate.said) - self._clocks.wall()) / DAY
            if days < self._settings.certificate_days:
                return Verdict("certificate", Health.DEGRADED, f"the certificate ends in {days:.1f} days")
        return Verdict("certificate", Health.OK)

    def _backup(self) -> Verdict:
        return self._backups.look(self._clocks.wall(), self._clocks.steady())

    def _database(self) -> Verdict:
        """Check the whole file once a day, in a container of its own: only the API's SQLite may open it.

        A check that failed is repeated after an hour: the file may have been away, or have been restored since.
        """
        self._integrity.poll()
        now = time.gmtime(self._clocks.wall())
        today = time.strftime("%Y-%m-%d", now)
        again = bool(self._integrity.failure) and self._clocks.steady() >= self._next["database"]
        if again or (now.tm_hour == self._settings.integrity_hour and today != self._integrity_on):
            self._integrity_on = today
            self._integrity.begin()
            self._next["database"] = self._clocks.steady() + HOUR
        if self._integrity.failure:
            reason = self._integrity.failure.split(": ", 1)[-1]
            return Verdict("database", Health.DEGRADED, f"the check of the database failed: {reason}")
        return Verdict("database", Health.OK)

    def _release(self) -> Verdict:
        """Whether the last release took over, and ended; one that did not leaves a file until another one does."""
        releases = self._config.directory / "releases"
        try:
            failed = json.loads((releases / "failed.json").read_text(encoding="utf-8"))
            return Verdict("release", Health.DEGRADED, f"the release {failed['id']} failed: {failed['reason']}")
        except (OSError, ValueError, KeyError, TypeError):
            pass
        try:
            since = (releases / "under-way.json").stat().st_mtime
        except OSError:
            return Verdict("release", Health.OK)
        if self._clocks.wall() - since > _RELEASE_LONGEST:
            return Verdict("release", Health.DEGRADED, "a release was interrupted: run deploy.yml again, which ends it")
        return Verdict("release", Health.OK)

    def _run_every(self, errand: _Errand, name: str, seconds: float, after_failure: float | None = None) -> None:
        now = self._clocks.steady()
        if now < self._next.get(name, 0.0):
            return
        errand.begin()
        self._next[name] = now + (after_failure if errand.failure and after_failure else seconds)


def _docker_root() -> Path:
    """Return where Docker keeps images and containers, as its settings say."""
    try:
        return Path(json.loads(_DOCKER_SETTINGS.read_text(encoding="utf-8"))["data-root"])
    except (OSError, ValueError, KeyError, TypeError):
        return Path("/var/lib/docker")


def memory_available() -> float | None:
    """Return the memory that is available, in percent of all; None where the kernel does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = {name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return _PERCENT * values["MemAvailable"] / values["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return None


def certificate_end(name: str, port: int) -> float:
    """Connect to the proxy on this host as a browser would; return when its certificate ends (epoch seconds).

    Runs in a process of its own, as the TLS library takes more memory than the whole monitor.

    Raises:
        OSError: nobody answers, or the certificate is not one that browsers trust for this name.
    """
    import socket  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        certificate = secured.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))
