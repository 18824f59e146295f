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
    events = Events(SOCKET, {name: "api"})
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
    events = Events(SOCKET, {ours: "api"})
    events.begin()
    time.sleep(0.5)
    docker("kill", other)
    docker("kill", ours)
    collect = deaths_of(events)
    wait_until(lambda: len(collect()) == 1, 5, "one death")


def event(action: str, name: str, code: str = "") -> bytes:
    attributes = {"name": name} | ({"exitCode": code} if code else {})
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
        events = Events(path, {"a": "api", "b": "redis"})
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
        events = Events(path, {"a": "api"})
        events.begin()
        wait_until(lambda: len(asked) >= 3, 5, "reconnected")
    assert sorted(asked[:3], key=float) == asked[:3]
    assert len(set(asked[:3])) == 3
