"""Clients that misbehave, one kind at a time: `python -m bench.rude_clients KIND --port PORT`.

For tests and benchmarks of what the proxy lets such clients do to everybody else. Every kind is bounded in connections,
rate and time, and only loopback and private addresses (test hosts) are accepted as a target.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import json
import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.settings

ROOT = Path(__file__).parents[1]
CONNECTIONS = 20
SECONDS = 20.0
PACE = 0.2
"""Seconds between the beginnings of two acts of one connection."""
IDLE_CONNECTIONS = 100
"""Connections that the kind `idle-connections` holds for each of `CONNECTIONS`."""
MAX_CONNECTIONS = 50
MAX_SECONDS = 60.0
STREAMS = 10
"""HTTP/2 streams that one act opens at most."""
SMALL_WINDOW = 4096
"""Receive buffer of a client that reads slowly, in bytes."""
LARGE_PAGE = "/openapi.json"
_CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Target:
    """The server that the clients connect to."""

    address: str
    port: int
    domain: str = ""
    """Name for SNI and `Host`; the clients speak TLS when it is set, and do not check the certificate."""

    @property
    def host(self) -> str:
        """Value of the `Host` header."""
        return self.domain or f"{self.address}:{self.port}"

    def refuse_strangers(self) -> None:
        """Check that the target is this machine or a test host on it.

        Raises:
            SystemExit: it is neither.
        """
        address = ipaddress.ip_address(self.address)
        if not (address.is_loopback or address.is_private):
            sys.exit(f"{self.address} is not a test host: only loopback and private addresses are accepted.")


@dataclass
class Session:
    """What one client needs for its acts."""

    target: Target
    until: float
    """When to stop, in seconds of `time.monotonic()`."""
    outcomes: Counter[str] = field(default_factory=Counter)

    async def connect(
        self, *, protocol: str = "http/1.1", receive_buffer: int = 0
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, with TLS when the target has a domain."""
        plain = socket.socket(socket.AF_INET6 if ":" in self.target.address else socket.AF_INET)
        plain.setblocking(False)  # noqa: FBT003  # its only parameter
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            await asyncio.get_running_loop().sock_connect(plain, (self.target.address, self.target.port))
            options = {"ssl": _tls(protocol), "server_hostname": self.target.domain} if self.target.domain else {}
            return await asyncio.open_connection(sock=plain, limit=receive_buffer or 65536, **options)  # type: ignore[arg-type]

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of an HTTP/1.1 request."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.target.host}", *lines, "", ""]).encode()

    async def rest(self) -> None:
        """Sleep until the end."""
        await asyncio.sleep(max(0.0, self.until - time.monotonic()))

    async def status(self, reader: asyncio.StreamReader) -> None:
        """Count the status of the answer that comes, or that none did."""
        try:
            async with asyncio.timeout(max(0.1, self.until - time.monotonic())):
                line = await reader.readline()
            self.outcomes[line.split()[1].decode() if line else "closed"] += 1
        except TimeoutError:
            self.outcomes["held to the end"] += 1

    async def drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, part: bytes) -> None:
        """Send a part every half a second until the end or until the server ends it."""
        ended = asyncio.create_task(self.status(reader))
        while not ended.done() and time.monotonic() < self.until:
            writer.write(part)
            await writer.drain()
            await asyncio.wait([ended], timeout=0.5)
        await ended


def _tls(protocol: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


@contextlib.contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset, as a phone does that has lost its network."""
    writer.transport.abort()


REGISTER = "/api/v1/auth/register"
QUOTE = "/api/v1/quotes"
JSON = "Content-Type: application/json"


def registration() -> bytes:
    """A body that registers a new account."""
    email = f"rude-{secrets.token_hex(8)}@example.com"
    return json.dumps({"email": email, "password": "correct horse battery", "full_name": "Rude Example"}).encode()


async def broken_off_body(session: Session) -> None:
    """Announce 100 bytes, send one, close."""
    _, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("POST", REGISTER, JSON, "Content-Length: 100") + b"{")
        await writer.drain()
    session.outcomes["broken off"] += 1


async def broken_off_get(session: Session) -> None:
    """The same with GET, which a proxy may repeat."""
    _, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("GET", "/api/v1/services", "Content-Length: 100") + b"{")
        await writer.drain()
    session.outcomes["broken off"] += 1


async def bad_chunk(session: Session) -> None:
    """Send a chunk whose length is no number."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("POST", REGISTER, JSON, "Transfer-Encoding: chunked") + b"zz\r\n")
        await writer.drain()
        await session.status(reader)


async def slow_header(session: Session) -> None:
    """Send a header of one byte every half a second."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("GET", "/health")[:-2] + b"X-Slow: ")
        await session.drip(reader, writer, b"a")


async def slow_body(session: Session) -> None:
    """Send a small body one byte every half a second."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("POST", REGISTER, JSON, "Content-Length: 1000") + b"{")
        await session.drip(reader, writer, b" ")


async def slow_large_body(session: Session) -> None:
    """Send 100 kB of a large body at once and the rest one byte every half a second."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("POST", REGISTER, JSON, "Content-Length: 900000") + b" " * 100_000)
        await session.drip(reader, writer, b" ")


async def slow_reading(session: Session) -> None:
    """Ask for a large page ten times on one connection, and read 100 bytes every half a second."""
    reader, writer = await session.connect(receive_buffer=SMALL_WINDOW)
    with _closing(writer):
        writer.write(session.head("GET", LARGE_PAGE) * 10)
        while time.monotonic() < session.until:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                if not await reader.read(100):
                    session.outcomes["closed"] += 1
                    return
            await asyncio.sleep(0.5)
    session.outcomes["held to the end"] += 1


async def close_before_answer(session: Session) -> None:
    """Send a whole request and close at once."""
    _, writer = await session.connect()
    body = registration()
    writer.write(session.head("POST", QUOTE, JSON, f"Content-Length: {len(body)}") + body)
    await writer.drain()
    _abort(writer)
    session.outcomes["closed before the answer"] += 1


async def close_in_answer(session: Session) -> None:
    """Ask for a large page, read one byte, close."""
    reader, writer = await session.connect(receive_buffer=SMALL_WINDOW)
    writer.write(session.head("GET", LARGE_PAGE))
    await reader.read(1)
    _abort(writer)
    session.outcomes["closed in the answer"] += 1


async def idle_connections(session: Session) -> None:
    """Open many connections and say nothing."""
    writers = []
    for _ in range(IDLE_CONNECTIONS):
        _, writer = await session.connect()
        writers.append(writer)
    session.outcomes["held"] += len(writers)
    await session.rest()
    for writer in writers:
        writer.close()


async def huge_header(session: Session) -> None:
    """Send a header of 200 kB."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("GET", "/health", "X-Huge: " + "a" * 200_000))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await session.status(reader)


async def wrong_length(session: Session) -> None:
    """Send more bytes than announced: the rest is taken for the next request."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("POST", REGISTER, JSON, "Content-Length: 5") + registration())
        await writer.drain()
        await session.status(reader)


async def expect_continue(session: Session) -> None:
    """Announce a body, wait for permission, and never send it."""
    reader, writer = await session.connect()
    with _closing(writer):
        writer.write(session.head("POST", REGISTER, JSON, "Content-Length: 100", "Expect: 100-continue"))
        await writer.drain()
        await session.status(reader)


async def stalled_handshake(session: Session) -> None:
    """Begin a TLS handshake and stop in the middle of the first message."""
    plain = Session(Target(session.target.address, session.target.port), session.until, session.outcomes)
    reader, writer = await plain.connect()
    with _closing(writer):
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        await writer.drain()
        await session.status(reader)


async def _http2(session: Session) -> tuple[h2.connection.H2Connection, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await session.connect(protocol="h2")
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http2.initiate_connection()
    return http2, reader, writer


def _headers(session: Session, method: str, path: str) -> list[tuple[str, str]]:
    return [(":method", method), (":path", path), (":scheme", "https"), (":authority", session.target.host)]


async def reset_after_headers(session: Session) -> None:
    """HTTP/2: announce a registration, and reset the stream before its body."""
    http2, _, writer = await _http2(session)
    with _closing(writer):
        while time.monotonic() < session.until:
            stream = http2.get_next_available_stream_id()
            http2.send_headers(stream, [*_headers(session, "POST", REGISTER), ("content-type", "application/json")])
            writer.write(http2.data_to_send())
            await writer.drain()
            http2.reset_stream(stream)
            writer.write(http2.data_to_send())
            await writer.drain()
            session.outcomes["reset"] += 1
            await asyncio.sleep(PACE)


async def rapid_reset(session: Session) -> None:
    """HTTP/2: open ten requests and reset each at once, in one write (CVE-2023-44487)."""
    http2, _, writer = await _http2(session)
    with _closing(writer):
        for _ in range(STREAMS):
            stream = http2.get_next_available_stream_id()
            http2.send_headers(stream, _headers(session, "GET", "/api/v1/services"), end_stream=True)
            http2.reset_stream(stream)
        writer.write(http2.data_to_send())
        await writer.drain()
        await asyncio.sleep(PACE)
    session.outcomes["reset"] += STREAMS


async def zero_window(session: Session) -> None:
    """HTTP/2: ask for a large page ten times with a receive window of 0 bytes."""
    http2, reader, writer = await _http2(session)
    with _closing(writer):
        http2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        for _ in range(STREAMS):
            stream = http2.get_next_available_stream_id()
            http2.send_headers(stream, _headers(session, "GET", LARGE_PAGE), end_stream=True)
        writer.write(http2.data_to_send())
        while time.monotonic() < session.until:
            try:
                async with asyncio.timeout(max(0.1, session.until - time.monotonic())):
                    data = await reader.read(65536)
            except TimeoutError:
                break
            if not data:
                session.outcomes["closed"] += 1
                return
            http2.receive_data(data)
            writer.write(http2.data_to_send())
    session.outcomes["held to the end"] += 1


Act = Callable[[Session], Awaitable[None]]
PLAIN: dict[str, Act] = {
    "broken-off-body": broken_off_body,
    "broken-off-get": broken_off_get,
    "bad-chunk": bad_chunk,
    "slow-header": slow_header,
    "slow-body": slow_body,
    "slow-large-body": slow_large_body,
    "slow-reading": slow_reading,
    "close-before-answer": close_before_answer,
    "close-in-answer": close_in_answer,
    "idle-connections": idle_connections,
    "huge-header": huge_header,
    "wrong-length": wrong_length,
    "expect-continue": expect_continue,
}
"""Kinds that need no TLS."""
TLS: dict[str, Act] = {
    "stalled-handshake": stalled_handshake,
    "reset-after-headers": reset_after_headers,
    "rapid-reset": rapid_reset,
    "zero-window": zero_window,
}
"""Kinds that need TLS."""
KINDS = PLAIN | TLS


async def _client(session: Session, act: Act) -> None:
    while (begun := time.monotonic()) < session.until:
        try:
            await act(session)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            session.outcomes[type(error).__name__] += 1
        await asyncio.sleep(max(0.0, begun + PACE - time.monotonic()))


async def misbehave(kind: str, target: Target, connections: int, seconds: float) -> Counter[str]:
    """Let clients of one kind act; returns how often each outcome was.

    Args:
        kind: one of `KINDS`.
        target: the server.
        connections: clients at the same time; each acts at most once in `PACE` seconds.
        seconds: how long.
    """
    session = Session(target, time.monotonic() + seconds)
    async with asyncio.timeout(seconds + 2 * _CONNECT_TIMEOUT):
        await asyncio.gather(*(_client(session, KINDS[kind]) for _ in range(connections)))
    return session.outcomes


@dataclass
class Misbehaviour:
    """Clients of one kind at work in a process of their own."""

    process: "subprocess.Popen[str]"

    def outcomes(self) -> Counter[str]:
        """Wait for the end; returns how often each outcome was.

        Raises:
            RuntimeError: the process failed.
        """
        out, errors = self.process.communicate(timeout=MAX_SECONDS + 4 * _CONNECT_TIMEOUT)
        if self.process.returncode != 0:
            raise RuntimeError(errors)
        return Counter(json.loads(out))


def start(kind: str, target: Target, *, connections: int = CONNECTIONS, seconds: float = SECONDS) -> Misbehaviour:
    """Start clients of one kind in a process of their own, so that they take no time of the caller's."""
    arguments = [kind, "--address", target.address, "--port", str(target.port), "--domain", target.domain]
    bounds = ["--connections", str(connections), "--seconds", str(seconds)]
    return Misbehaviour(
        subprocess.Popen(
            [sys.executable, "-m", "bench.rude_clients", *arguments, *bounds],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def main() -> int:
    """Run one kind and print how often each outcome was, as JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.rude_clients", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--domain", default="", help="name for TLS and Host; without it: plain HTTP")
    parser.add_argument(
        "--connections", type=int, default=CONNECTIONS, choices=range(1, MAX_CONNECTIONS + 1), metavar="N"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    target = Target(given.address, given.port, given.domain)
    target.refuse_strangers()
    if given.kind in TLS and not target.domain:
        parser.error(f"{given.kind} needs --domain")
    connections, seconds = min(given.connections, MAX_CONNECTIONS), min(given.seconds, MAX_SECONDS)
    print(json.dumps(asyncio.run(misbehave(given.kind, target, connections, seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
