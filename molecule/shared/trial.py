"""One fault on the converged host: injected, watched until it is cured without a hand, and judged."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import httpx
import pytest
from converged import CONTAINERS, MONITOR_LOG, inspect, new_user, wait_until
from ledger import Writer, balance
from testinfra.host import Host
from webhook import FIELDS, Message, Receiver

_LINE = re.compile(r"(?P<at>\S+) (?P<level>[A-Z]+) (?P<component>\S+) (?P<name>\S+)(?: (?P<rest>.*))?")
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')
# An hour's budgets of cures: of restarts for each component, of the others for all together.
RESTARTS_PER_HOUR = 12
BUDGETS = {"full-restart": 2, "restart-docker": 3, "clean-up": 4, "mend-owners": 8}
_TOLD = 30.0  # seconds within which a message about something that has happened must be here
_RESOLVED = 150.0  # seconds within which the monitor calls an incident resolved once everything is well


@dataclass(frozen=True)
class Event:
    """One line of the monitor's log."""

    at: str
    level: str
    component: str
    name: str
    details: dict[str, str]


@dataclass(frozen=True)
class Row:
    """One line of the table of results. Seconds count from the fault; None: there was no such thing."""

    fault: str
    passed: bool
    found: float | None
    """When the monitor first saw it."""
    told: float | None
    """When the alert was received."""
    cured: float | None
    """When all containers were healthy, a registration worked and the monitor said that all is well."""
    failed: int
    """Requests of the writer that failed from the fault until it was cured."""
    requests: int
    """All that it sent in this time."""
    failures: dict[str, int]
    """How they failed: by status, or by the error's name."""
    cures: str
    """What the monitor did, in order."""


@dataclass
class Trial:
    """What a test does with one fault."""

    name: str
    host: Host
    writer: Writer
    receiver: Receiver
    world: Callable[[], httpx.Client]
    undo: list[str] = field(default_factory=list)
    """Commands for the host that take the fault away should nothing else have done so."""
    began: float = 0.0
    began_wall: float = 0.0
    cured_at: float | None = None
    first: Message | None = None
    balanced: bool = False
    _line: int = 0
    _mended: float | None = None
    _started: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Remember how things stand before the fault."""
        self._line = int(self.host.check_output(f"wc -l < {MONITOR_LOG}"))
        self._started = {container: self._started_at(container) for container in CONTAINERS}
        self.began, self.began_wall = time.monotonic(), time.time()

    def inject(self, command: str) -> str:
        """Do it, by a command on the host."""
        self.begin()
        return str(self.host.check_output(command))

    def _started_at(self, container: str) -> str:
        return str(inspect(self.host, container)["State"]["StartedAt"])

    def restarted(self) -> set[str]:
        """The containers that run since another moment than before the fault."""
        return {container for container, before in self._started.items() if self._started_at(container) != before}

    def events(self, name: str = "") -> list[Event]:
        """What the monitor logged since the fault."""
        found = []
        for line in self.host.run(f"tail -n +{self._line + 1} {MONITOR_LOG}").stdout.splitlines():
            if match := _LINE.fullmatch(line):
                details = {key: str(json.loads(value)) for key, value in _PAIR.findall(match["rest"] or "")}
                found.append(Event(match["at"], match["level"], match["component"], match["name"], details))
        return [event for event in found if name in ("", event.name)]

    def incident(self, component: str, cause: str, *, within: float) -> Event:
        """Wait until the monitor opens an incident of the component (a regular expression, as `cause` is)."""

        def opened() -> list[Event]:
            return [event for event in self.events("incident-opened") if re.fullmatch(component, event.component)]

        wait_until(lambda: bool(opened()), within, f"an incident of {component} in the log")
        event = opened()[0]
        assert re.search(cause, event.details["cause"]), f"the log gives another cause: {event}"
        return event

    def well(self) -> bool:
        """Whether all containers are healthy, a registration works and the monitor is content."""
        state = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        run = self.host.run(
            f"timeout 5 docker inspect --format '{state}' {' '.join(CONTAINERS)}"
            " && timeout 10 cleaning-service-monitor status >/dev/null"
        )
        return (
            run.rc == 0 and run.stdout.split("\n")[:-1] == ["running healthy"] * len(CONTAINERS) and self._registers()
        )

    def needs_person(self) -> bool:
        """Whether the monitor says that a person is needed for some component."""
        status = json.loads(self.host.run("cleaning-service-monitor status --json").stdout)
        return any(component["person_needed"] for component in status["components"].values())

    def _registers(self) -> bool:
        try:
            with self.world() as client:
                return client.post("/api/v1/auth/register", json=new_user()).status_code == httpx.codes.CREATED
        except httpx.HTTPError:
            return False

    def cured(self, *expected: tuple[str, str], found: float, within: float, restarts: set[str] | None = None) -> None:
        """Wait until the fault is found and cured without a hand, then judge how that was told.

        Args:
            expected: component and cause of each incident that there must be, regular expressions.
            found: seconds from the fault within which each incident must be opened.
            within: seconds from the fault within which it must be cured.
            restarts: containers that must run anew afterwards; others may.
        """
        opened = [self.incident(component, cause, within=found) for component, cause in expected]
        self.await_well(within)
        assert self.restarted() >= (restarts or set()), "a container that the fault has hit runs on as before"
        self.judge(opened)

    def outcomes(self) -> set[str]:
        """What has come of the writer's requests since the fault."""
        return {request.outcome for request in self.writer.between(self.began, time.monotonic())}

    def mended(self, command: str) -> None:
        """Do by hand what no cure can do; the time until all is well counts from here."""
        self.host.check_output(command)
        self._mended = time.monotonic()

    def await_well(self, within: float) -> None:
        """Wait until everything is well, at most so many seconds from the fault, or from when it was mended."""
        wait_until(self.well, within - (time.monotonic() - (self._mended or self.began)), f"cured ({self.name})")
        self.cured_at = time.monotonic()

    def judge(self, expected: list[Event]) -> None:
        """Hold against each other what was logged, what was told and what was done."""
        wait_until(lambda: not self._unresolved(), _RESOLVED, "every incident resolved in the log")
        told = {event.details["id"]: self._messages(event) for event in self.events("incident-opened")}
        assert {event.details["id"] for event in expected} <= told.keys()
        if expected:
            self.first = told[expected[0].details["id"]][0]
        self.check_cures()
        self.check_budgets()
        self.check_ledger()

    def _unresolved(self) -> set[str]:
        resolved = {event.details["id"] for event in self.events("incident-resolved")}
        return {event.details["id"] for event in self.events("incident-opened")} - resolved

    def _messages(self, opened: Event) -> list[Message]:
        """The messages about an incident that is over: one says so, one before it told of the problem."""
        incident = opened.details["id"]
        assert self.receiver.wait_for(incident, "resolved", _TOLD), f"no message that {incident} is resolved"
        messages = [message for message in self.receiver.of(incident) if message.kind != "reminder"]
        kinds = [message.kind for message in messages]
        assert (kinds[0], kinds[-1]) == ("problem", "resolved"), kinds
        assert max(Counter(kinds).values()) == 1, f"told more than once: {kinds}"
        for message in messages:
            assert message.body.keys() == FIELDS
            assert message.body["component"] == opened.component
            assert message.body["subject"]
            assert message.body["text"]
        assert messages[0].body["cause"] == opened.details["cause"]
        assert messages[0].body["ended"] is None
        assert messages[-1].body["ended"] >= messages[-1].body["began"]
        return messages

    def check_cures(self) -> None:
        """See that there never were two cures at once, and that each began with a cause."""
        at_work = None
        for event in self.events():
            if event.name == "cure-started":
                assert at_work is None, f"{event} began while {at_work} was at work"
                assert event.details["cause"]
                at_work = event
            # A monitor that was killed cannot say how its cure ended.
            elif event.name in ("cure-done", "cure-failed", "started"):
                at_work = None

    def cures(self, component: str) -> Counter[str]:
        """What was done about a component since the fault."""
        return Counter(event.details["action"] for event in self.events("cure-started") if event.component == component)

    def check_budgets(self) -> None:
        """See that no more was done than an hour allows."""
        events = self.events("cure-started")
        restarts = Counter(event.component for event in events if event.details["action"] == "restart")
        others = Counter(event.details["action"] for event in events if event.details["action"] != "restart")
        assert all(times <= RESTARTS_PER_HOUR for times in restarts.values()), restarts
        assert all(times <= BUDGETS[action] for action, times in others.items()), others

    def check_ledger(self) -> None:
        """See that no acknowledged write is lost and none was made twice."""
        found = balance(self.host, self.writer)
        assert found.holds, found
        self.balanced = True

    def row(self, *, passed: bool) -> Row:
        """The line for the table; waits for the requests that are still under way."""
        until = self.cured_at or time.monotonic()
        self.writer.settle(until)
        requests = self.writer.between(self.began, until)
        cures = Counter(f"{event.component}: {event.details['action']}" for event in self.events("cure-started"))
        return Row(
            fault=self.name,
            passed=passed,
            found=self.first.body["began"] - self.began_wall if self.first else None,
            told=self.first.received - self.began if self.first else None,
            cured=self.cured_at - self.began if self.cured_at else None,
            failed=sum(request.failed for request in requests),
            requests=len(requests),
            failures=dict(Counter(request.outcome for request in requests if request.failed)),
            cures=", ".join(cure if times == 1 else f"{cure} ({times})" for cure, times in cures.items()),
        )


def _in_brackets(failures: dict[str, int]) -> str:
    return f" ({', '.join(f'{outcome}: {times}' for outcome, times in failures.items())})" if failures else ""


def table(rows: list[Row]) -> str:
    """The rows for a reader."""

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    lines = [
        (
            row.fault,
            "passed" if row.passed else "FAILED",
            seconds(row.found),
            seconds(row.told),
            seconds(row.cured),
            f"{row.failed} of {row.requests}" + _in_brackets(row.failures),
            row.cures or "-",
        )
        for row in rows
    ]
    head = ("fault", "", "found, s", "told, s", "cured, s", "failed requests", "cures")
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    padded = ([f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)] for line in [head, *lines])
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def as_json(rows: list[Row]) -> str:
    """The rows for a program."""
    return json.dumps([asdict(row) for row in rows], indent=2) + "\n"


def fail_without(condition: bool, sentence: str) -> None:  # noqa: FBT001  # reads like an assertion
    """Fail with a sentence where the fault itself could not be made: then nothing is proven."""
    if not condition:
        pytest.fail(f"the fault was not there: {sentence}")
