"""A client without retries that registers somebody new every 150 ms (in a long wait 400 ms), and what came of it."""

import asyncio
import contextlib
import json
import threading
import time
import uuid
from dataclasses import dataclass

from typing_extensions import Self

INTERVAL = 0.15  # seconds between registrations, whatever became of those before
LONG_INTERVAL = 0.4  # the same in a long wait, until one succeeds after others failed: each costs the host a hash
LONG_WAIT = 15.0  # seconds
PATIENCE = 2.0  # seconds after which the client gives up on an answer
IN_A_ROW = 3  # good registrations that prove the service
CREATED = 201
HEALTH_INTERVAL = 0.25  # seconds between questions for the summary of the API's health


@dataclass(frozen=True)
class Attempt:
    """One registration; the moments are those of `time.monotonic`.

    Attributes:
        status: of the answer; 0: none within `PATIENCE`, or the connection failed.
    """

    sent: float
    ended: float
    status: int

    @property
    def good(self) -> bool:
        """Whether an account was made."""
        return self.status == CREATED


def third_in_a_row(attempts: list[Attempt], after: float) -> float | None:
    """The moment when the third of three registrations in a row had succeeded, all sent at `after` or later.

    "In a row" is the order in which they were sent; None while there is no such row.
    """
    row: list[Attempt] = []
    for attempt in sorted(attempts, key=lambda each: each.sent):
        if attempt.sent < after:
            continue
        row = [*row, attempt] if attempt.good else []
        if len(row) == IN_A_ROW:
            return max(each.ended for each in row)
    return None


class Client:
    """Registers through the proxy from its own thread until it is closed; a context manager.

    Args:
        address: IP address of the host; the proxy listens on port 80.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._attempts: list[Attempt] = []
        self._open: dict[int, float] = {}  # number of an attempt that waits for its answer, and when it was sent
        self._redis_seen: list[tuple[float, bool]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE * 3)

    def attempts(self) -> list[Attempt]:
        """All attempts older than the oldest one that still waits: of these the order is known."""
        with self._lock:
            oldest = min(self._open.values(), default=float("inf"))
            return [each for each in self._attempts if each.sent < oldest]

    def all_attempts(self) -> list[Attempt]:
        """All attempts that have ended."""
        with self._lock:
            return list(self._attempts)

    def redis_well_since(self) -> float | None:
        """Since when the API has called Redis well at each look; None: the last look says it is not."""
        with self._lock:
            seen = list(self._redis_seen)
        since = None
        for moment, well in seen:
            since = (since or moment) if well else None
        return since

    async def _run(self) -> None:
        tasks: set[asyncio.Task[None]] = {asyncio.create_task(self._watch_redis())}
        number = 0
        due = started = time.monotonic()
        while not self._stop.is_set():
            task = asyncio.create_task(self._one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            due += LONG_INTERVAL if time.monotonic() - started > LONG_WAIT and not self._recovering() else INTERVAL
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*tasks)

    def _recovering(self) -> bool:
        """Whether the last registration succeeded and one shortly before it did not."""
        with self._lock:
            latest = self._attempts[-2 * IN_A_ROW :]
        return latest[-1:] != [] and latest[-1].good and not all(each.good for each in latest)

    async def _one(self, number: int) -> None:
        sent = time.monotonic()
        with self._lock:
            self._open[number] = sent
        body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse battery", "full_name": "Ann"}
        head, _ = await self._exchange("POST", "/api/v1/auth/register", json.dumps(body).encode())
        with self._lock:
            del self._open[number]
            self._attempts.append(Attempt(sent, time.monotonic(), int(head[9:12] or 0)))

    async def _watch_redis(self) -> None:
        while not self._stop.is_set():
            moment = time.monotonic()
            _, body = await self._exchange("GET", "/health", b"")
            with self._lock:
                self._redis_seen.append((moment, b'"redis":"ok"' in body.replace(b" ", b"")))
            await asyncio.sleep(HEALTH_INTERVAL)

    async def _exchange(self, method: str, path: str, content: bytes) -> tuple[bytes, bytes]:
        """Return status line and body, or nothing where there was no answer in time."""
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(self._address, 80)
                writer.write(
                    f"{method} {path} HTTP/1.1\r\nHost: {self._address}\r\nConnection: close\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                return head.partition(b"\r\n")[0], body
        except (TimeoutError, OSError):
            return b"", b""
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    writer.transport.abort()
