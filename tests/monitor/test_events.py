"""Docker's events: a real engine's, and a stream that breaks off."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor.events import Events

from tests.monitor.helpers import SOCKET, docker, raw_server, wait_until


def deaths_of(events: Events) -> Callable[[], list[str]]:
    """Collect the causes of deaths, call after call."""
    causes: list[str] = []

    def collect() -> list[str]:
        causes.extend(death.cause for death in events.deaths())
        return causes

    return collect


@pytest.mark.docker
def test_a_container_that_ends_wakes_the_monitor_and_says_how(container: Callable[..., str]) -> None:
    name = container("api")
    events = Events(SOCKET, {name: "api"}, 45)
    events.begin()
    time.sleep(0.5)
    events.wait(0)
    begun = time.monotonic()
    docker("kill", name)
    events.wait(10)
    assert time.monotonic() - begun < 5
    collect = deaths_of(events)
    wait_until(lambda: collect() == ["the container ended with exit code 137 (killed)"], 5, "the death")


@pytest.mark.docker
def test_a_container_of_somebody_else_is_none_of_our_business(container: Callable[..., str]) -> None:
    ours, other = container("api"), container("other")
    events = Events(SOCKET, {ours: "api"}, 45)
    events.begin()
    time.sleep(0.5)
    docker("kill", other)
    docker("kill", ours)
    collect = deaths_of(events)
    wait_until(lambda: len(collect()) == 1, 5, "one death")


def event(action: str, name: str, code: str = "", signal: str = "") -> bytes:
    told = {"exitCode": code, "signal": signal}
    attributes = {"name": name} | {key: value for key, value in told.items() if value}
    return (
        json.dumps({"Action": action, "timeNano": time.time_ns(), "Actor": {"Attributes": attributes}}).encode() + b"\n"
    )


def test_out_of_memory_is_named_and_a_stop_on_demand_is_no_death(tmp_path: Path) -> None:
    lines = [
        event("oom", "a"),
        event("die", "a", "137"),
        event("die", "b", "0"),
        event("die", "b", "143"),
        b"nonsense\n",
    ]

    def stream(connection: socket.socket) -> None:
        connection.recv(10000)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        for line in lines:
            connection.sendall(line[:7])
            time.sleep(0.01)
            connection.sendall(line[7:])
        connection.sendall(event("die", "b", "1"))
        time.sleep(0.2)

    path = str(tmp_path / "socket")
    with raw_server(path, stream):
        events = Events(path, {"a": "api", "b": "redis"}, 45)
        events.begin()
        collect = deaths_of(events)
        wait_until(
            lambda: (
                collect()[:2]
                == ["the container ended with exit code 137 (out of memory)", "the container ended with exit code 1"]
            ),
            5,
            "both deaths",
        )


def test_it_takes_up_again_where_the_stream_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleaning_service_monitor.events._RECONNECT", 0.05)
    asked: list[str] = []

    def stream(connection: socket.socket) -> None:
        asked.append(connection.recv(10000).decode().split("since=")[1].split("&")[0])
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + event("die", "a", "1"))

    path = str(tmp_path / "socket")
    with raw_server(path, stream):
        events = Events(path, {"a": "api"}, 45)
        events.begin()
        wait_until(lambda: len(asked) >= 3, 5, "reconnected")
    assert sorted(asked[:3], key=float) == asked[:3]
    assert len(set(asked[:3])) == 3


class Clock:
    """A clock that tests put forward, in place of the monotonic one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("cleaning_service_monitor.events.time.monotonic", lambda: self.now)


class Told:
    """Events of one API container, taken in one by one."""

    def __init__(self, clock: Clock) -> None:
        self._events = Events("/nonexistent", {"a": "api"}, 45)
        self._clock = clock

    def hear(self, *words: str) -> None:
        """Take in events such as `kill 15`, `die 137` or `start`."""
        for word in words:
            action, _, rest = word.partition(" ")
            self._events._take(event(action, "a", **{"code" if action == "die" else "signal": rest}))

    def commanded(self, after: float) -> bool:
        """Whether a command is at work some seconds later."""
        self._clock.now += after
        return self._events.commanded(since=0) == {"api"}

    def well(self) -> None:
        """Let a look that begins now find the API well."""
        self._events.found_well(["api"], self._clock.now)

    @property
    def deaths(self) -> list[str]:
        """The causes of deaths since the last call."""
        return [death.cause for death in self._events.deaths()]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """A stream of events under a clock of its own."""
    return Told(Clock(monkeypatch))


def test_a_restart_is_left_to_end_and_is_over_when_all_is_well_again(told: Told) -> None:
    told.hear("kill 15")
    told.well()  # it still answers, as it has not begun to stop
    assert told.commanded(after=25)
    told.hear("kill 9", "die 137")
    assert told.commanded(after=9)
    told.well()  # a look that began before the start
    told.hear("stop", "start")
    assert told.commanded(after=44)
    told.well()
    assert not told.commanded(after=0)
    assert told.deaths == []


def test_a_container_that_a_person_stops_and_leaves_is_started_again(told: Told) -> None:
    told.hear("kill 15", "die 143", "stop")
    assert told.commanded(after=9)
    assert not told.commanded(after=2)


def test_a_container_that_does_not_end_or_start_is_not_waited_for_without_end(told: Told) -> None:
    told.hear("kill 15")
    assert not told.commanded(after=31)
    told.hear("die 1")
    assert told.deaths == ["the container ended with exit code 1"]
    told.hear("kill 15", "die 143", "start")
    assert not told.commanded(after=46)


def test_up_after_down_is_waited_for(told: Told) -> None:
    told.hear("kill 15", "die 0", "stop", "destroy")
    assert told.commanded(after=29)
    told.hear("start")
    assert told.commanded(after=44)


def test_a_container_that_ends_after_its_restart_has_a_fault_of_its_own(told: Told) -> None:
    told.hear("kill 15", "die 143", "start", "die 1")
    assert not told.commanded(after=0)
    assert told.deaths == ["the container ended with exit code 1"]


@pytest.mark.parametrize("words", [["kill 9", "die 137"], ["kill 9", "die 137", "destroy"], ["die 143"], ["start"]])
def test_a_kill_is_a_fault(told: Told, words: list[str]) -> None:
    told.hear(*words)
    assert not told.commanded(after=0)


def test_what_began_before_is_the_monitors_own_doing(told: Told) -> None:
    told.hear("kill 15")
    assert told._events.commanded(since=time.time() + 3) == set()
