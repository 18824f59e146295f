"""The example of docs/api.md, run as it stands there: with Redis, and with Redis in all kinds of trouble."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2

from tests.app.company import ALWAYS, make_service, work_at
from tests.app.conftest import ROOT, Redis, Server, api_server, environment_of, new_user
from tests.app.people import sign_in

SLOWEST = 6.0  # seconds for one request, whatever Redis does
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


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
{curl} --noproxy '*' "$@"
status=$?
echo "$started $EPOCHREALTIME" ${{*//$'\n'/ }} >>{times}
exit $status
"""


def run(script: str, server: Server, directory: Path, **variables: str) -> str:
    """Run lines of the example, with a `curl` that writes down how long each request took; returns what they print."""
    times = directory / "times"
    tools = directory / "bin"
    tools.mkdir(exist_ok=True)
    curl = tools / "curl"
    curl.write_text(TIMED_CURL.format(curl=shutil.which("curl"), times=times))
    curl.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script + '\necho "BOOKING=$BOOKING AUTH=$AUTH"'],
        env={"PATH": f"{tools}:{os.environ['PATH']}", "BASE": server.url, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in times.read_text().splitlines():
        began, ended, *_ = line.split()
        assert float(ended) - float(began) < SLOWEST, line
    return done.stdout


def complete(database: Path, booking: str) -> None:
    """Let the time of the visit pass."""
    connection = dbapi2.connect(database, timeout=20)
    with connection:
        connection.execute("UPDATE booking SET state = 'completed' WHERE id = ?", (booking,))
    connection.close()


@pytest.mark.parametrize("trouble", ["none", "stopped", "frozen", "swallowing packets"])
def test_the_example_works(trouble: str, tmp_path: Path, redis: Redis, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    environment = environment_of(tmp_path, redis)
    with swallowing() as nowhere:
        if trouble == "swallowing packets":
            environment["REDIS_URL"] = nowhere
        with api_server(tmp_path, environment) as server:
            make_service(server.database, base_minutes=60, price_per_square_metre=150, price_per_room=500)
            with httpx.Client(base_url=server.url, trust_env=False) as http:
                work_at(server.database, sign_in(http, server.database, new_user(), "cleaner").id, ALWAYS)
            if trouble == "stopped":
                redis.process.terminate()
                redis.process.wait()
            elif trouble == "frozen":
                redis.process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            first, second = BLOCK.findall((ROOT / "docs" / "api.md").read_text())
            said = run(first, server, tmp_path)
            found = re.search(r"BOOKING=(\S+) AUTH=(.*)", said)
            assert found
            complete(server.database, found[1])
            variables = {
                "BOOKING": found[1],
                "AUTH": found[2],
                "API": f"{server.url}/api/v1",
                "JSON": "Content-Type: application/json",
            }
            assert '"stars":5' in run(second, server, tmp_path, **variables)
            print(f"Redis {trouble}: the whole example took {time.monotonic() - started:.1f} s")  # noqa: T201
