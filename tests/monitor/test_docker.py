"""Docker's API: the real engine, and a stand-in where the real one cannot be made to fail."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor import docker as docker_module
from cleaning_service_monitor.docker import Engine, EngineError

from tests.images import ours_and_theirs
from tests.monitor.helpers import SOCKET, docker, inspect, raw_server, wait_until


@pytest.mark.docker
def test_states_of_real_containers(container: Callable[..., str]) -> None:
    running, paused, exited = container("running"), container("paused"), container("exited")
    docker("pause", paused)
    docker("kill", exited)
    found = Engine(SOCKET).containers([running, paused, exited, "montest-missing"])
    assert {name: found[name].state for name in found} == {running: "running", paused: "paused", exited: "exited"}
    assert found[exited].status.startswith("Exited (137)")


@pytest.mark.docker
def test_a_longer_name_is_another_container(container: Callable[..., str]) -> None:
    name = container("name-longer")
    assert Engine(SOCKET).containers([name.removesuffix("-longer")]) == {}


@pytest.mark.docker
@pytest.mark.parametrize(("command", "health"), [("exit 0", "healthy"), ("exit 1", "unhealthy")])
def test_health_of_a_real_container(container: Callable[..., str], command: str, health: str) -> None:
    name = container("health", f"--health-cmd={command}", "--health-interval=1s", "--health-retries=1")
    assert Engine(SOCKET).containers([name])[name].health == "starting"
    wait_until(lambda: Engine(SOCKET).containers([name])[name].health == health, 10, health)


@pytest.mark.docker
def test_actions_on_real_containers(container: Callable[..., str]) -> None:
    engine, name = Engine(SOCKET), container("actions")
    engine.start(name)  # it runs already: nothing to do, and no error
    docker("kill", name)
    engine.start(name)
    assert inspect(name, ".State.Status") == "running"
    docker("pause", name)
    engine.unpause(name)
    assert inspect(name, ".State.Status") == "running"
    process = inspect(name, ".State.Pid")
    engine.restart(name, stop_seconds=1)
    assert inspect(name, ".State.Pid") != process


@pytest.mark.docker
def test_a_refusal_says_why() -> None:
    with pytest.raises(EngineError, match="404: No such container: montest-missing"):
        Engine(SOCKET).start("montest-missing")


def _answers(body: bytes, status: str = "200 OK") -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(10000)
        connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body))

    return answer


@pytest.mark.parametrize("body", [b"", b"{", b"3", b'[{"Names": null}]', b'["x"]', json.dumps({"a": 1}).encode()])
def test_an_unreadable_list_is_an_error_not_a_crash(tmp_path: Path, body: bytes) -> None:
    path = str(tmp_path / "socket")
    with raw_server(path, _answers(body)), pytest.raises(EngineError, match="not readable"):
        Engine(path).containers(["montest"])


def test_an_error_without_a_message(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with (
        raw_server(path, _answers(b"proxy trouble", "502 Bad Gateway")),
        pytest.raises(EngineError, match="502: proxy trouble"),
    ):
        Engine(path).start("montest")


def test_a_frozen_engine_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_module, "LIST_TIMEOUT", 0.3)
    path = str(tmp_path / "socket")
    begun = time.monotonic()
    with (
        raw_server(path, lambda _connection: time.sleep(1)),
        pytest.raises(EngineError, match=r"Docker's socket: no answer within 0\.3 s"),
    ):
        Engine(path).containers(["montest"])
    assert time.monotonic() - begun < 1.5


def test_a_stopped_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Docker's socket: no such file or directory"):
        Engine(str(tmp_path / "absent")).containers(["montest"])


@pytest.mark.docker
def test_only_images_that_the_playbook_has_built_are_listed(image: str) -> None:
    """Others may have names that begin so too, and the clean-up removes what is listed."""
    prefix = f"{image}/"
    with ours_and_theirs(prefix) as (ours, _):
        assert [each.reference for each in Engine(SOCKET).images(prefix)] == [ours]
