"""HTTP with one deadline, against servers that misbehave."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor.transport import Answer, NoAnswerError, TcpTarget, UnixTarget, request

from tests.monitor.helpers import Service, raw_server


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def silent(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def sends(data: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(10000)
        connection.sendall(data)

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (drip, "no answer within 0.3 s"),
        (silent, "no answer within 0.3 s"),
        (sends(b""), "closed without an answer"),
        (sends(b"SSH-2.0-OpenSSH\r\n\r\n"), "not HTTP"),
        (sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"), "not HTTP/1.0"),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "cut off"),
        (sends(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (4 * 1024 * 1024 + 1)), "longer than"),
    ],
)
def test_a_misbehaving_server_costs_no_more_than_the_time_out(
    tmp_path: Path, answer: Callable[[socket.socket], None], reason: str
) -> None:
    path = str(tmp_path / "socket")
    begun = time.monotonic()
    with raw_server(path, answer), pytest.raises(NoAnswerError, match=reason):
        request(UnixTarget(path), "GET", "/", timeout=0.3)
    assert time.monotonic() - begun < 0.6


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NoAnswerError, match="connection refused"):
            request(TcpTarget(socket.AF_INET, "127.0.0.1", port), "GET", "/", timeout=1)


def test_a_listener_that_accepts_nobody() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address), pytest.raises(NoAnswerError, match=r"no answer within 0\.2 s"):
            request(TcpTarget(socket.AF_INET, *address), "GET", "/", timeout=0.2)


def test_a_proper_answer(service: Service) -> None:
    service.status["/metrics"] = 204
    target = TcpTarget(socket.AF_INET, "127.0.0.1", service.port)
    assert request(target, "GET", "/metrics", timeout=2) == Answer(204, b"")


def test_the_host_header_of_an_ipv6_address() -> None:
    assert TcpTarget(socket.AF_INET6, "::1", 80).authority == "[::1]:80"
