"""`python -m app serve`: migrate if needed, then answer until SIGTERM."""

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

KEEP_ALIVE = 75  # seconds; longer than the proxy keeps idle connections, so that it never writes to a closing one
DRAIN_TIMEOUT = 15  # seconds for requests in progress after SIGTERM, and after DRAIN_SECONDS
LAST_LOOKS = 50  # at the connections that were there when it stopped listening, 20 ms apart
STARTUP_FAILURE = 3  # exit code


def main() -> int:
    """Run the server; returns the exit code."""
    # uvicorn raises the signal again after draining; this turns it into a normal end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            with _own_socket_file(settings.socket_file):
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
    """SOCKET_FILE cannot be used; the text says why."""


@contextlib.contextmanager
def _own_socket_file(path: Path | None) -> Iterator[None]:
    """See that no other process listens on the socket, and remove what a killed one has left.

    The lock beside it, and not an attempt to connect, tells whether there is another one: the kernel releases it with
    the process that holds it, and of two processes that start at once only one gets it.

    Raises:
        SocketFileError: another process listens there, or the directory cannot be written to.
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
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN_TIMEOUT,
    )
    server = LeavingServer(config, app, settings.drain_seconds)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class LeavingServer(uvicorn.Server):
    """Told to end, it first says that it is not ready, and works on until the proxy sends nobody any more.

    Meanwhile each answer closes its connection: a request that met a closing one could not be sent again safely. At the
    end everybody who is connected gets an answer, also whom only the kernel has accepted.

    Args:
        config: uvicorn's.
        app: whose readiness it is.
        drain_seconds: how long that takes; told again, it ends at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._leaving = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if sig != signal.SIGTERM or self._leaving or not self._drain_seconds or not self.started:
            super().handle_exit(sig, frame)
            return
        self._leaving = True
        self._app.state.services.health.leave()
        self.config.encoded_headers.append((b"connection", b"close"))  # in force within a second
        timer = threading.Timer(self._drain_seconds, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer, and end."""
        if self._leaving:
            with contextlib.suppress(OSError):  # of a process out of file descriptors, which has to end well too
                await self._stop_listening()
            # Rounds of the event loop and not seconds: in each it reads what has come, however long it stood still.
            for _ in range(LAST_LOOKS):
                if not self.server_state.connections:
                    break
                await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _stop_listening(self) -> None:
        """Close the sockets at a moment when nobody waits in their queues, whom the kernel would cut off."""
        loop = asyncio.get_running_loop()
        self._remove_socket_file()
        for server in self.servers:
            queues = [socket.socket(fileno=os.dup(listening.fileno())) for listening in server.sockets]
            server.close()
            for queue in queues:
                accepted = []
                with queue, contextlib.suppress(OSError):  # until nobody is left: BlockingIOError
                    while True:
                        accepted.append(queue.accept()[0])
                for connection in accepted:
                    connection.setblocking(False)  # noqa: FBT003
                    await loop.connect_accepted_socket(self._protocol, connection)

    def _remove_socket_file(self) -> None:
        """Let no new connection come, before the last queue is read."""
        if self.config.uds:
            Path(self.config.uds).unlink(missing_ok=True)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn itself makes them
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
