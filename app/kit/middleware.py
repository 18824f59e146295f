"""What every request passes through, in pure ASGI: identity, observation, limits.

It is one class rather than a chain of them: each further wrapper around `send` and `receive` is paid for by every
request, and together they would take longer than the framework itself.
"""

import asyncio
import random
import re
import time
from dataclasses import dataclass
from typing import Literal

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit import logs, throttle
from app.kit.addresses import CLIENT
from app.kit.metrics import Metrics
from app.kit.problems import DeadlineExceeded, InternalError, Overloaded, PayloadTooLarge, Problem, TooManyRequests
from app.kit.throttle import Throttles
from app.settings import Settings

log = structlog.get_logger(__name__)

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
SERVER_ERROR = 500
QUIET = ("/health", "/metrics")
"""Paths asked every few seconds by machines: logged at level debug, and never refused because of load."""
UNLIMITED = ("/health/ready", "/metrics", "/internal")
"""Beginnings of the paths that the proxy keeps from the world: it and the monitor ask as often as they like."""
_chance = random.Random()  # noqa: S311  # nobody has to be unable to guess ids of requests
HARDENING = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""Unless a route says otherwise: keeps browsers from doing anything clever with an API's answers."""


@dataclass(frozen=True)
class Limits:
    """Of every request."""

    concurrency: int
    """Requests in progress."""
    seconds: float
    """For a request, its slow body included."""
    body: int
    """Bytes."""

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """As the operator has set them."""
        return cls(settings.max_concurrent_requests, settings.request_timeout, settings.max_body_bytes)


def is_throttled(path: str) -> bool:
    """Whether requests of this path are counted for the client's address."""
    return not path.startswith(UNLIMITED)


class _Exchange:
    """One request and its answer: stands between the server and the application."""

    __slots__ = ("_receive", "_received", "_scope", "_send", "limit", "offered_length", "request_id", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._received = 0
        self.limit = limit
        self.status: int | None = None
        """Of the answer; None before it has begun."""
        self.offered_length = b""
        offered_id = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                offered_id = value
            elif name == b"content-length":
                self.offered_length = value
        offered = offered_id.decode("latin-1")
        self.request_id = offered if SANE_REQUEST_ID.fullmatch(offered) else f"{_chance.getrandbits(128):032x}"

    @property
    def announced_too_much(self) -> bool:
        """Whether the request says itself that its body is too large."""
        return self.offered_length.isdigit() and int(self.offered_length) > self.limit

    async def receive(self) -> Message:
        """Pass on part of the body.

        Raises:
            PayloadTooLarge: the body has become too large.
        """
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            raise PayloadTooLarge
        return message

    async def send(self, message: Message) -> None:
        """Pass on part of the answer; its beginning gets the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._complete(list(message.get("headers", ())))
        await self._send(message)

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = {name for name, _ in headers}
        headers += [each for each in HARDENING if each[0] not in present]
        if b"cache-control" not in present:
            # What has an ETag may be kept if asked about; everything else is somebody's data.
            headers.append((b"cache-control", b"no-cache" if b"etag" in present else b"no-store"))
        if standings := self._scope.get(throttle.STANDINGS):
            headers += throttle.headers(standings)
        headers.append((b"x-request-id", self.request_id.encode()))
        return headers


class Entrance:
    """Gives each request an id, observes it, and keeps it within the limits.

    The id is the proxy's if that is sane; it is sent back, and logs carry it. Each request is logged and counted
    with its route, status and duration; without query, headers and body.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: Metrics, throttles: Throttles) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._throttles = throttles
        self.active = 0
        """Requests in progress that count for the limit of concurrency."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in."""
        if scope["type"] != "http":  # start and end of the application
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = _Exchange(scope, receive, send, self._limits.body)
        client = scope["client"][0] if scope.get("client") else None
        # Not unbound at the end: each request is a task with a context of its own.
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id, client=client)
        CLIENT.set(client or "")
        try:
            await self._caught(scope, exchange)
        finally:
            self._observe(scope, exchange, client, time.perf_counter() - started)

    def _observe(self, scope: Scope, exchange: _Exchange, client: str | None, seconds: float) -> None:
        method, path, status = scope["method"], scope["path"], exchange.status or SERVER_ERROR
        self._metrics.observe(method, getattr(scope.get("route"), "path", "unmatched"), status, seconds)
        level: Literal["debug", "info"] = "debug" if path.startswith(QUIET) else "info"
        logs.request(logs.RequestLine(time.time(), level, exchange.request_id, client, method, path, status, seconds))

    async def _caught(self, scope: Scope, exchange: _Exchange) -> None:
        """Turn an exception that nobody expected into a logged 500."""
        try:
            await self._admitted(scope, exchange)
        except Exception:
            log.exception("unhandled_exception", path=scope["path"])
            if exchange.status is not None:
                raise  # half an answer is out: only closing the connection tells the client
            await InternalError().response()(scope, exchange.receive, exchange.send)

    async def _admitted(self, scope: Scope, exchange: _Exchange) -> None:
        """Refuse at once what exceeds a limit."""
        counts = not scope["path"].startswith(QUIET)
        if problem := self._refusal(scope, exchange, counts=counts):
            await problem.response()(scope, exchange.receive, exchange.send)
            return
        self.active += counts
        try:
            await self._timed(scope, exchange)
        finally:
            self.active -= counts

    def _refusal(self, scope: Scope, exchange: _Exchange, *, counts: bool) -> Problem | None:
        if is_throttled(scope["path"]):
            standing = self._throttles.by_address(scope)
            if standing.refused:
                return TooManyRequests(retry_after=standing.reset)
        if counts and self.active >= self._limits.concurrency:
            return Overloaded()
        return PayloadTooLarge() if exchange.announced_too_much else None

    async def _timed(self, scope: Scope, exchange: _Exchange) -> None:
        """Answer 504 when it takes too long."""
        window = asyncio.timeout(self._limits.seconds)
        try:
            async with window:
                await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if exchange.status is not None or not window.expired():
                raise
            await DeadlineExceeded().response()(scope, exchange.receive, exchange.send)
