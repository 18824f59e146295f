"""The health check of the container, which Docker runs every few seconds."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from app.health import probe
from tests.monitor.helpers import raw_server

ANSWERS = {
    b"HTTP/1.1 200 OK\r\n\r\n": 0,
    b"HTTP/1.0 200 OK\r\n\r\n": 0,
    b"HTTP/1.1 503 Service Unavailable\r\n\r\n": 1,
    b"HTTP/1.1 2000 OK\r\n\r\n": 1,
    b"HTTP/1.1 20": 1,
    b"SSH-2.0-x 200 \r\n": 1,
    b"": 1,
}


@pytest.mark.parametrize(("answer", "code"), ANSWERS.items())
def test_probe_succeeds_only_if_the_replica_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, code: int
) -> None:
    path = str(tmp_path / "api.sock")
    monkeypatch.setenv("SOCKET_FILE", path)

    def reply(connection: socket.socket) -> None:
        assert connection.recv(1000) == probe.REQUEST
        connection.sendall(answer)

    with raw_server(path, reply):
        assert probe.main() == code
    assert probe.main() == 1


def processor_time(*arguments: str) -> float:
    """Processor time in seconds that Python takes to run a script."""
    process = subprocess.Popen([sys.executable, "-I", "-S", *arguments])
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_utime + used.ru_stime


def test_probe_costs_little_more_than_starting_python() -> None:
    check = [processor_time(probe.__file__) for _ in range(15)]
    nothing = [processor_time("-c", "pass") for _ in range(15)]
    assert median(check) < 1.5 * median(nothing)
