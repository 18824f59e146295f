"""HTTP with one deadline for everything: connecting, sending and the last byte of the answer.

A plain socket time-out bounds each read only, so a server that drips one byte a second would hold the monitor
for as long as it likes.
"""

import http.client
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_MAX_BODY = 4 * 1024 * 1024  # bytes; the largest honest answer, Docker's container list, is a few kilobytes


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


class _DeadlineSocket(socket.socket):
    """A socket on which all operations together must end by one moment of the monotonic clock."""

    def __init__(self, family: socket.AddressFamily, deadline: float) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._deadline = deadline

    def connect(self, address: "tuple[object, ...] | str | ReadableBuffer") -> None:
        """Connect."""
        self._arm()
        super().connect(address)

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send."""
        self._arm()
        super().sendall(data, flags)

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Receive; this is what the file object under http.client reads through."""
        self._arm()
        return super().recv_into(buffer, nbytes, flags)

    def _arm(self) -> None:
        """Allow the next operation what is left of the time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


class _Connection(http.client.HTTPConnection):
    def __init__(self, target: Target, deadline: float) -> None:
        super().__init__("localhost")
        self._target = target
        self._deadline = deadline

    def connect(self) -> None:
        self.sock = _DeadlineSocket(self._target.family, self._deadline)
        self.sock.connect(self._target.address)


def request(target: Target, method: str, path: str, *, timeout: float, headers: dict[str, str] | None = None) -> Answer:
    """Send one request on a new connection and read the whole answer.

    Args:
        target: the server.
        method: the HTTP method; no body is sent.
        path: path and query.
        timeout: seconds for all of it together.
        headers: what to send besides Host.

    Raises:
        NoAnswerError: nothing came in time, or it was no HTTP.
    """
    connection = _Connection(target, time.monotonic() + timeout)
    try:
        connection.request(method, path, headers={"Host": target.authority, **(headers or {})})
        response = connection.getresponse()
        body = response.read(_MAX_BODY + 1)
    except TimeoutError as error:
        raise NoAnswerError(f"no answer within {timeout:g} s") from error
    except OSError as error:
        raise NoAnswerError((error.strerror or str(error)).lower()) from error
    except (http.client.HTTPException, ValueError) as error:
        raise NoAnswerError(f"the answer is not HTTP ({type(error).__name__})") from error
    finally:
        connection.close()
    if len(body) > _MAX_BODY:
        raise NoAnswerError(f"the answer is longer than {_MAX_BODY} bytes")
    return Answer(response.status, body)
