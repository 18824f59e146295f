"""`python -m app serve`: migrate the database if needed, then serve requests until SIGTERM."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.kit import logs
from app.kit.migrations import MigrationError, ensure
from app.kit.sqlite import FileUnusableError
from app.main import create_app
from app.settings import Settings, load_settings_or_exit

KEEP_ALIVE_TIMEOUT = 75  # seconds; the proxy closes idle connections earlier, so it never writes to a closing one
DRAIN_TIMEOUT = 15  # seconds for requests in progress after SIGTERM and DRAIN_SECONDS
FINAL_POLLS = 50  # checks, 20 ms apart, for requests on open connections after the server has stopped listening
STARTUP_FAILURE = 3  # exit code


def main() -> int:
    """Run the server, and return the exit code."""
    # uvicorn raises the signal again after the shutdown. This handler turns it into exit code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            with _locked_socket_file(settings.socket_file):
                ensure(settings)
                _run(settings)
        except FileUnusableError as error:
            sys.stderr.write(f"Not starting: {error}\n")
            return error.exit_code
        except MigrationError as error:
            sys.stderr.write(f"Not starting, the database could not be migrated: {error}\n")
            return 1
        except SocketFileError as error:
            sys.stderr.write(f"Not starting: {error}\n")
            return 1
    return 0


class SocketFileError(Exception):
    """SOCKET_FILE cannot be used. The message says why."""


@contextlib.contextmanager
def _locked_socket_file(path: Path | None) -> Iterator[None]:
    """Make sure that no other process listens on the socket file, and remove the file of a killed process.

    A lock file beside the socket is safer than an attempt to connect: the kernel releases the lock when its process
    ends, and only one of two processes that start at once gets it.

    Raises:
        SocketFileError: another process listens on the file, or the directory is not writable.
    """
    if path is None:
        yield
        return
    try:
        lock = path.with_name(f"{path.name}.lock").open("w", encoding="ascii")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        raise SocketFileError(f"another process listens on {path}") from None
    except OSError as error:
        raise SocketFileError(f"{error.filename or path} cannot be used: {error.strerror}") from error
    with lock:
        yield


def _run(settings: Settings) -> None:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        uds=str(settings.socket_file) if settings.socket_file else None,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.proxy_token is None,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
        timeout_graceful_shutdown=DRAIN_TIMEOUT,
    )
    server = DrainingServer(config, app, settings.drain_seconds)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class DrainingServer(uvicorn.Server):
    """A server that drains before it shuts down, so that a rolling release loses no request.

    After SIGTERM the readiness check fails, but the server answers requests for `drain_seconds` more, until the proxy
    has stopped sending them. Each answer then closes its connection, because the proxy could not safely repeat a
    request that meets a closing connection. At the shutdown every connected client gets an answer, also a client whose
    connection only the kernel has accepted yet.

    Args:
        config: configuration of uvicorn.
        app: the application whose readiness check fails.
        drain_seconds: duration of the drain in seconds. A second SIGTERM ends it at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: start to drain, or shut down."""
        if sig != signal.SIGTERM or self._draining or not self._drain_seconds or not self.started:
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._app.state.services.health.start_draining()
        self.config.encoded_headers.append((b"connection", b"close"))  # uvicorn applies it within a second
        timer = threading.Timer(self._drain_seconds, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer the connected clients, and end."""
        if self._draining:
            with contextlib.suppress(OSError):  # a process without free file descriptors must shut down too
                await self._stop_listening()
            # Counts rounds of the event loop, not seconds, because each round reads requests, however long it takes.
            for _ in range(FINAL_POLLS):
                if not self.server_state.connections:
                    break
                await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _stop_listening(self) -> None:
        """Close the listening sockets after accepting the connections in their queues, which the kernel would reset."""
        loop = asyncio.get_running_loop()
        self._remove_socket_file()
        for server in self.servers:
            queues = [socket.socket(fileno=os.dup(listening.fileno())) for listening in server.sockets]
            server.close()
            for queue in queues:
                accepted = []
                with queue, contextlib.suppress(OSError):  # BlockingIOError when the queue is empty
                    while True:
                        accepted.append(queue.accept()[0])
                for connection in accepted:
                    connection.setblocking(False)  # noqa: FBT003
                    await loop.connect_accepted_socket(self._protocol, connection)

    def _remove_socket_file(self) -> None:
        """Prevent new connections before the queues are emptied."""
        if self.config.uds:
            Path(self.config.uds).unlink(missing_ok=True)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # the same call as in uvicorn
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
