"""The example of docs/api.md, run unchanged, with a working and with a failing Redis."""

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

REQUEST_LIMIT = 6.0  # seconds for one request, also with a failing Redis


@contextmanager
def packet_dropping_redis() -> Iterator[str]:
    """Yield an address that drops packets: a listener with a full queue, for which the kernel ignores connections."""
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
def test_documented_example_works(trouble: str, tmp_path: Path, redis: Redis, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    environment = environment_of(tmp_path, redis)
    times = tmp_path / "times"
    write_program(tmp_path, "curl", TIMED_CURL.format(curl=shutil.which("curl"), times=times))
    with packet_dropping_redis() as dropping_url:
        if trouble == "swallowing packets":
            environment["REDIS_URL"] = dropping_url
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
            output = run_example(tmp_path, server.url)
            print(f"Redis {trouble}: the whole example took {time.monotonic() - started:.1f} s")  # noqa: T201
    assert '"stars":5' in output
    for line in times.read_text().splitlines():
        began, ended, *_ = line.split()
        assert float(ended) - float(began) < REQUEST_LIMIT, line
