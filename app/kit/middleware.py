"""What every request passes through, in pure ASGI: identity, observation, limits."""

import asyncio
import re
import time
import uuid
from collections.abc import Iterable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.metrics import Metrics
from app.kit.problems import DeadlineExceeded, InternalError, Overloaded, PayloadTooLarge

log = structlog.get_logger(__name__)

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
SERVER_ERROR = 500
QUIET = ("/health", "/metrics")
"""Paths asked every few seconds by machines: logged at level debug, and never refused because of load."""


class _Started:
    """Wraps `send` and remembers the status of the answer, None before it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class _Middleware:
    """Passes HTTP requests to `_http`, and everything else (start and end of the application) through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handle = self._http if scope["type"] == "http" else self.app
        await handle(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError


class RequestId(_Middleware):
    """Gives each request an id, or takes a sane one from the proxy, and sends it back; logs carry it."""

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if SANE_REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)


class Observe(_Middleware):
    """Logs and counts each request: route, status, duration; no query, no headers, no body."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        super().__init__(app)
        self.metrics = metrics

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        answer = _Started(send)
        try:
            await self.app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            status = answer.status or SERVER_ERROR
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.observe(scope["method"], route, status, seconds)
            client = scope.get("client")
            write = log.debug if scope["path"].startswith(QUIET) else log.info
            write(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round(seconds * 1000, 1),
                client=client[0] if client else None,
            )


class SecurityHeaders(_Middleware):
    """Headers that keep browsers from doing anything clever with an API's answers."""

    DEFAULTS = (
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    )

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.DEFAULTS:
                    headers.setdefault(name, value)
                # Files have an ETag and may be kept if asked about; everything else is somebody's data.
                headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class CatchAll(_Middleware):
    """Turns an exception that nobody expected into a logged 500."""

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Started(send)
        try:
            await self.app(scope, receive, answer)
        except Exception:
            log.exception("unhandled_exception", path=scope["path"])
            if answer.status is not None:
                raise  # half an answer is out: only closing the connection tells the client
            await InternalError().response()(scope, receive, send)


class ConcurrencyLimit(_Middleware):
    """Refuses at once what exceeds `limit` requests in progress; health checks always pass."""

    def __init__(self, app: ASGIApp, limit: int, exempt: Iterable[str] = QUIET) -> None:
        super().__init__(app)
        self.limit = limit
        self.exempt = tuple(exempt)
        self.active = 0

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(self.exempt):
            await self.app(scope, receive, send)
        elif self.active >= self.limit:
            await Overloaded().response()(scope, receive, send)
        else:
            self.active += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.active -= 1


class Deadline(_Middleware):
    """Answers 504 when a request, its slow body included, takes longer than `seconds`."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        super().__init__(app)
        self.seconds = seconds

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Started(send)
        window = asyncio.timeout(self.seconds)
        try:
            async with window:
                await self.app(scope, receive, answer)
        except TimeoutError:
            if answer.status is not None or not window.expired():
                raise
            await DeadlineExceeded().response()(scope, receive, send)


class BodyLimit(_Middleware):
    """Refuses bodies of more than `limit` bytes, whether announced or sent in chunks."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        super().__init__(app)
        self.limit = limit

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > self.limit:
            await PayloadTooLarge().response()(scope, receive, send)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise PayloadTooLarge
            return message

        await self.app(scope, count, send)
