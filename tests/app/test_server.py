"""The server process: start, drain, shutdown and failures."""

import concurrent.futures
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2
from sqlalchemy import make_url

from app.kit.sqlite import EX_NOINPUT
from app.migrations.upgrade import migrate
from tests.app.conftest import ROOT, Serve, Server, new_user

REGISTER = "/api/v1/auth/register"


@pytest.fixture(params=["TCP", "Unix"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings to listen on TCP or on a Unix socket."""
    return {"SOCKET_FILE": str(tmp_path / "api.sock")} if request.param == "Unix" else {}


def healthcheck(server: Server) -> int:
    """Run the health check as the container does: without packages, and with only the address in the environment."""
    address = (
        {"SOCKET_FILE": str(server.socket_file)} if server.socket_file else {"PORT": server.url.rpartition(":")[2]}
    )
    command = [sys.executable, "-I", "-S", str(ROOT / "app/health/probe.py")]
    return subprocess.run(command, env=address, timeout=10, check=False).returncode


def test_sigterm_finishes_running_requests(serve: Serve, listening: dict[str, str]) -> None:
    server = serve(HASH_WORKERS="1", **listening)
    assert healthcheck(server) == 0

    def register() -> int:
        with server.client() as client:
            return client.post(REGISTER, json=new_user()).status_code

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        running = [pool.submit(register) for _ in range(10)]
        concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        server.process.send_signal(signal.SIGTERM)
        assert {request.result() for request in running} == {201}
    assert server.process.wait(20) == 0
    assert "Finished server process" in server.log.read_text()
    assert healthcheck(server) == 1


def test_draining_server_is_not_ready_but_serves_requests(serve: Serve, listening: dict[str, str]) -> None:
    """During DRAIN_SECONDS, every request is answered, so that a proxy can stop sending requests."""
    server = serve(DRAIN_SECONDS="2", **listening)
    with server.client() as client:
        assert "connection" not in client.get("/health/live").headers
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            ready = client.get("/health/ready")
            assert client.post(REGISTER, json=new_user()).status_code == 201
            assert client.get("/health").status_code == 200
        assert ready.status_code == 503
        assert healthcheck(server) == 1
        assert ready.json()["detail"] == "This replica is about to stop."
        last = client.get("/health/live")
        assert (last.status_code, last.headers["connection"]) == (200, "close")
    assert server.process.wait(10) == 0
    assert 1.5 < time.monotonic() - begun < 8


def test_every_connected_client_is_answered_at_shutdown(serve: Serve, listening: dict[str, str]) -> None:
    """The kernel has accepted the connections, but the process has not, because it was stopped."""
    server = serve(DRAIN_SECONDS="1", **listening)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    server.process.send_signal(signal.SIGSTOP)
    waiting = [server.connect() for _ in range(30)]
    for connection in waiting:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n")
    time.sleep(1)  # until it should have ended
    server.process.send_signal(signal.SIGCONT)
    for connection in waiting:
        with connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(10) == 0


def refusal(environment: dict[str, str], *, exit_code: int = 1) -> str:
    """Return the error message of an API that does not start."""
    run = subprocess.run(
        [sys.executable, "-m", "app", "serve"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert run.returncode == exit_code
    return run.stderr


def test_socket_file_has_one_owner(serve: Serve, environment: dict[str, str], tmp_path: Path) -> None:
    """The socket file of a killed process is replaced. A second process is refused and does not affect the first."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    server = serve(SOCKET_FILE=str(path))
    second = refusal(environment | {"SOCKET_FILE": str(path)})
    assert second == f"Not starting: another process listens on {path}\n"
    assert healthcheck(server) == 0
    server.process.kill()
    server.process.wait(10)
    assert path.exists()
    assert healthcheck(server) == 1
    assert healthcheck(serve(SOCKET_FILE=str(path))) == 0


def test_missing_directory_of_the_socket_file_stops_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "missing" / "api.sock"
    message = refusal(environment | {"SOCKET_FILE": str(path)})
    assert message == f"Not starting: {path}.lock cannot be used: No such file or directory\n"


def test_second_sigterm_ends_the_drain(serve: Serve) -> None:
    server = serve(DRAIN_SECONDS="60")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0


def test_suspended_server_continues(serve: Serve) -> None:
    server = serve(LOOP_WATCHDOG_SECONDS="1")
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    server.process.send_signal(signal.SIGCONT)
    time.sleep(1)
    assert httpx.get(f"{server.url}/health/ready", trust_env=False).status_code == 200


def test_missing_body_ends_with_504(serve: Serve) -> None:
    server = serve(REQUEST_TIMEOUT="1")
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5) as connection:
        head = f"POST {REGISTER} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 504 ")


def test_older_database_is_migrated_at_start(serve: Serve, tmp_path: Path) -> None:
    migrate(make_url(f"sqlite:///{tmp_path}/old.db"), to="0007", create=True)
    server = serve(DATABASE_URL=f"sqlite:///{tmp_path}/old.db")
    assert httpx.post(server.url + REGISTER, json=new_user(), trust_env=False).status_code == 201


def test_newer_database_is_served_with_a_warning(serve: Serve, tmp_path: Path) -> None:
    connection = dbapi2.connect(tmp_path / "test.db", isolation_level=None)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    server = serve()
    assert httpx.post(server.url + REGISTER, json=new_user(), trust_env=False).status_code == 201
    assert "database_newer_than_code" in server.log.read_text()


def test_missing_database_stops_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    message = refusal(environment | {"DATABASE_URL": f"sqlite:///{tmp_path}/missing/x.db"}, exit_code=EX_NOINPUT)
    assert message.startswith(f"Not starting: the database {tmp_path}/missing/x.db is missing: put it back")


def test_deactivation_takes_effect_at_once(serve: Serve) -> None:
    server = serve()
    user = new_user()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.post(REGISTER, json=user).status_code == 201
        credentials = {"email": user["email"], "password": user["password"]}
        token = client.post("/api/v1/auth/login", json=credentials).json()["access_token"]
        connection = dbapi2.connect(server.database, isolation_level=None)
        connection.execute("UPDATE user_account SET is_active = 0")
        connection.close()
        me = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        assert me.json()["type"] == "/problems/invalid-token"
        again = client.post("/api/v1/auth/login", json=credentials)
        assert (again.status_code, again.json()["type"]) == (401, "/problems/invalid-credentials")


@pytest.mark.parametrize("arguments", [[], ["dance"], ["serve", "now"]])
def test_unknown_command_prints_usage(environment: dict[str, str], arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert run.returncode == 64
    assert "serve | migrate | healthcheck | openapi" in run.stderr
