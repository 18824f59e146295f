"""A load generator on bare sockets: keep-alive connections, no HTTP library in the way of what is measured."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop
from typing_extensions import override

T = TypeVar("T")
Make = Callable[[], bytes]
"""Makes the bytes of the next request."""

GOOD = range(200, 300)
HEAD_END = b"\r\n\r\n"
GIVE_UP = 60.0  # seconds for an answer


def request(method: str, path: str, *, token: str | None = None, body: object = None, key: str | None = None) -> bytes:
    """The bytes of a request; `body` is sent as JSON, `key` as Idempotency-Key."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if key is not None:
        lines.append(f"Idempotency-Key: {key}")
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Result:
    """Answers by status, with their latencies in seconds."""

    seconds: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    body: bytes = b""
    """Of the last answer."""

    def add(self, status: int, latency: float) -> None:
        """Count an answer."""
        self.latencies.setdefault(status, []).append(latency)

    @property
    def statuses(self) -> Counter[int]:
        """How many answers there were of each status; 0 is a connection that ended without one."""
        return Counter({status: len(each) for status, each in self.latencies.items()})

    def good(self) -> list[float]:
        """Latencies of what succeeded."""
        return [each for status, found in self.latencies.items() if status in GOOD for each in found]

    def require_good(self, what: str) -> None:
        """End the program unless everything succeeded."""
        if not self.good() or any(status not in GOOD for status in self.latencies):
            raise SystemExit(f"{what}: answers by status: {dict(self.statuses)}; the last: {self.body[:300]!r}")

    @property
    def rate(self) -> float:
        """Successes in a second."""
        return len(self.good()) / self.seconds


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """One request at a time; `answered(status, body)` is called for each answer."""

    def __init__(self, answered: Callable[[int, bytes], None]) -> None:
        self._answered = answered
        self._received = b""
        self._transport: Any = None
        self.closed = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self._answered(0, b"")

    def send(self, data: bytes) -> None:
        """Send a request."""
        self._transport.write(data)

    def close(self) -> None:
        """End the connection."""
        self.closed = True
        self._transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(HEAD_END)
        if not found:
            return
        if len(rest) < _content_length(head):
            return
        self._received = b""
        self._answered(int(head[9:12]), rest)


def _content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0


async def _connect(port: int, answered: Callable[[int, bytes], None]) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: _Connection(answered), "127.0.0.1", port)
    return connection


async def closed_loop(port: int, make: Make, *, connections: int, seconds: float) -> Result:
    """Each of the connections sends its next request as soon as it has the answer to the one before."""
    result = Result()
    ended = asyncio.Event()
    active = connections
    end = time.perf_counter() + seconds

    async def start() -> _Connection:
        sent = 0.0

        def answered(status: int, body: bytes) -> None:
            nonlocal sent, active
            moment = time.perf_counter()
            result.add(status, moment - sent)
            result.body = body
            if moment < end and status:
                sent = moment
                connection.send(make())
            else:
                active -= 1
                if not active:
                    ended.set()

        connection = await _connect(port, answered)
        sent = time.perf_counter()
        connection.send(make())
        return connection

    started = time.perf_counter()
    opened = [await start() for _ in range(connections)]
    async with asyncio.timeout(seconds + GIVE_UP):
        await ended.wait()
    result.seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return result


async def open_loop(port: int, make: Make, *, rate: float, seconds: float) -> Result:
    """Send `rate` requests a second whatever becomes of them; latency counts from when each was due."""
    result = Result()
    outstanding: set[asyncio.Future[None]] = set()
    loop = asyncio.get_running_loop()

    async def one(due: float) -> None:
        answer: asyncio.Future[tuple[int, bytes]] = loop.create_future()

        def answered(status: int, body: bytes) -> None:
            if not answer.done():
                answer.set_result((status, body))

        connection = await _connect(port, answered)
        connection.send(make())
        try:
            async with asyncio.timeout(GIVE_UP):
                status, result.body = await answer
        except TimeoutError:
            status = 0
        result.add(status, time.perf_counter() - due)
        connection.close()

    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.ensure_future(one(due))
        outstanding.add(task)
        task.add_done_callback(outstanding.discard)
    await asyncio.gather(*outstanding)
    result.seconds = time.perf_counter() - started
    return result


def run(scene: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop that the server uses too."""
    return uvloop.run(scene)
