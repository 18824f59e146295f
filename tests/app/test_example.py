"""The example of docs/api.md, run as it stands there: with Redis, and with Redis in all kinds of trouble."""

import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.company import ALWAYS, make_service, work_at
from tests.app.conftest import Redis, api_server, environment_of, new_user
from tests.app.people import sign_in
from tests.walks import run_example, write_program, write_time_passes

SLOWEST = 6.0  # seconds for one request, whatever Redis does


@contextmanager
def swallowing() -> Iterator[str]:
    """An address whose packets are dropped: a listener whose queue is full, so that the kernel ignores who knocks."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


TIMED_CURL = """#!/bin/bash
started=$EPOCHREALTIME
{curl} "$@"
status=$?
echo "$started $EPOCHREALTIME" ${{*//$'\n'/ }} >>{times}
exit $status
"""


@pytest.mark.parametrize("trouble", ["none", "stopped", "frozen", "swallowing packets"])
def test_the_example_works(trouble: str, tmp_path: Path, redis: Redis, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    environment = environment_of(tmp_path, redis)
    times = tmp_path / "times"
    write_program(tmp_path, "curl", TIMED_CURL.format(curl=shutil.which("curl"), times=times))
    with swallowing() as nowhere:
        if trouble == "swallowing packets":
            environment["REDIS_URL"] = nowhere
        with api_server(tmp_path, environment) as server:
            make_service(server.database, base_minutes=60, price_per_square_metre=150, price_per_room=500)
            with httpx.Client(base_url=server.url, trust_env=False) as http:
                sign_in(http, server.database, new_user() | {"email": "office@example.com"}, "manager")
                work_at(server.database, sign_in(http, server.database, new_user(), "cleaner").id, ALWAYS)
            write_time_passes(tmp_path, [sys.executable], str(server.database))
            if trouble == "stopped":
                redis.process.terminate()
                redis.process.wait()
            elif trouble == "frozen":
                redis.process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            said = run_example(tmp_path, server.url)
            print(f"Redis {trouble}: the whole example took {time.monotonic() - started:.1f} s")  # noqa: T201
    assert '"stars":5' in said
    for line in times.read_text().splitlines():
        began, ended, *_ = line.split()
        assert float(ended) - float(began) < SLOWEST, line
