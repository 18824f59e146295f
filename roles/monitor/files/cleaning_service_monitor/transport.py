"""HTTP with one deadline for everything: connecting, sending and the last byte of the answer.

A plain socket time-out bounds each read only, so a server that drips one byte a second would hold the monitor
for as long as it likes. HTTP/1.0 on a connection of its own is all that is needed: the answer ends with the
connection, and no library's memory is.
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MAX_BODY = 4 * 1024 * 1024  # bytes; the largest honest answer, Docker's container list, is a few kilobytes
_CHUNK = 65536  # bytes


class NoAnswerError(Exception):
    """No usable HTTP answer came in time; the message says why, for a person."""


@dataclass(frozen=True)
class TcpTarget:
    """A server at an IP address."""

    family: socket.AddressFamily
    host: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """What `socket.connect` takes."""
        return (self.host, self.port)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if self.family is socket.AF_INET6 else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class UnixTarget:
    """A server behind a socket file."""

    path: str
    family = socket.AF_UNIX
    authority = "localhost"

    @property
    def address(self) -> str:
        """What `socket.connect` takes."""
        return self.path


Target = TcpTarget | UnixTarget


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes


class DeadlineSocket(socket.socket):
    """A connection on which all operations together must end by one moment of the monotonic clock.

    Args:
        target: the server; it is connected to at once.
        timeout: seconds for everything.
    """

    def __init__(self, target: Target, timeout: float) -> None:
        super().__init__(target.family, socket.SOCK_STREAM)
        self._deadline = time.monotonic() + timeout
        try:
            self._arm()
            self.connect(target.address)
        except OSError:
            self.close()
            raise

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send."""
        self._arm()
        super().sendall(data, flags)

    def recv(self, bufsize: int = _CHUNK, flags: int = 0) -> bytes:
        """Receive."""
        self._arm()
        return super().recv(bufsize, flags)

    def _arm(self) -> None:
        """Allow the next operation what is left of the time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


@contextlib.contextmanager
def telling_why(timeout: float) -> Iterator[None]:
    """Turn what goes wrong with a connection into a sentence.

    Raises:
        NoAnswerError: in place of any OSError.
    """
    try:
        yield
    except TimeoutError as error:
        raise NoAnswerError(f"no answer within {timeout:g} s") from error
    except OSError as error:
        raise NoAnswerError((error.strerror or str(error)).lower()) from error


def head(target: Target, method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
    """Return a request without a body, ready to be sent."""
    fields = {"Host": target.authority, "Connection": "close", **(headers or {})}
    lines = [f"{method} {path} HTTP/1.0", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def request(target: Target, method: str, path: str, *, timeout: float, headers: dict[str, str] | None = None) -> Answer:
    """Send one request on a new connection and read the whole answer.

    Args:
        target: the server.
        method: the HTTP method; no body is sent.
        path: path and query.
        timeout: seconds for all of it together.
        headers: what to send besides Host and Connection.

    Raises:
        NoAnswerError: nothing came in time, or it was no HTTP.
    """
    received = bytearray()
    with telling_why(timeout), DeadlineSocket(target, timeout) as connection:
        connection.sendall(head(target, method, path, headers))
        while chunk := connection.recv():
            received += chunk
            if len(received) > _MAX_BODY:
                raise NoAnswerError(f"the answer is longer than {_MAX_BODY} bytes")
    return _parse(bytes(received))


def _parse(received: bytes) -> Answer:
    if not received:
        raise NoAnswerError("the connection was closed without an answer")
    start, blank, body = received.partition(b"\r\n\r\n")
    first, *fields = start.split(b"\r\n")
    words = first.split(maxsplit=2)
    if not blank or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():  # noqa: PLR2004
        raise NoAnswerError("the answer is not HTTP")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"transfer-encoding":
            raise NoAnswerError("the answer is not HTTP/1.0 (it has a transfer encoding)")
        if name.strip().lower() == b"content-length" and value.strip() != str(len(body)).encode():
            raise NoAnswerError("the answer was cut off")
    return Answer(int(words[1]), body)
