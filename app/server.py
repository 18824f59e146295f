"""`python -m app serve`: migrate if needed, then answer until SIGTERM."""

import signal
import sys
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.kit import logs
from app.kit.migrations import MigrationError, ensure
from app.main import create_app
from app.settings import Settings, load_settings_or_exit

KEEP_ALIVE = 75  # seconds; longer than the proxy keeps idle connections, so that it never writes to a closing one
DRAIN_TIMEOUT = 15  # seconds for requests in progress after SIGTERM, and after DRAIN_SECONDS
STARTUP_FAILURE = 3  # exit code


def main() -> int:
    """Run the server; returns the exit code."""
    # uvicorn raises the signal again after draining; this turns it into a normal end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            ensure(settings)
        except MigrationError as error:
            sys.stderr.write(f"Not starting, the database could not be migrated: {error}\n")
            return 1
        _run(settings)
    return 0


def _run(settings: Settings) -> None:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
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

    Meanwhile each answer closes its connection: a request that met a closing one could not be sent again safely.

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
