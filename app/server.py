"""`python -m app serve`: migrate if needed, then answer until SIGTERM."""

import signal
import sys

import uvicorn

from app.kit import logs
from app.kit.migrations import MigrationError, ensure
from app.main import create_app
from app.settings import Settings, load_settings_or_exit

KEEP_ALIVE = 75  # seconds; longer than the proxy keeps idle connections, so that it never writes to a closing one
DRAIN_TIMEOUT = 20  # seconds for requests in progress after SIGTERM


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
    uvicorn.run(
        create_app(settings),
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
