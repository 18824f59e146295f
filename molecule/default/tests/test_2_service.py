"""The service as its consumers and its neighbours on the network meet it."""

import json
import socket

import httpx
import pytest
from converged import API, ASK_API, CONTAINERS, DIRECTORY, REDIS, address, healthy, inspect, new_user, wait_until
from testinfra.host import Host


def test_a_user_registers_logs_in_and_is_known(world: httpx.Client) -> None:
    user = new_user()
    assert world.post("/api/v1/auth/register", json=user).status_code == 201
    login = world.post("/api/v1/auth/login", json={"email": user["email"], "password": user["password"]})
    assert login.status_code == 200
    me = world.get("/api/v1/users/me", headers={"Authorization": f"Bearer {login.json()['access_token']}"})
    assert (me.status_code, me.json()["email"]) == (200, user["email"])


def test_the_administrator_of_the_inventory_is_there(world: httpx.Client) -> None:
    credentials = {"email": "admin@example.com", "password": "correct horse battery"}
    token = world.post("/api/v1/auth/login", json=credentials).json()["access_token"]
    me = world.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert (me["role"], me["full_name"]) == ("admin", "Administrator")


def test_the_user_is_in_the_sqlite_file(host: Host, world: httpx.Client) -> None:
    user = new_user()
    assert world.post("/api/v1/auth/register", json=user).status_code == 201
    # Only the application's own SQLite opens the live database.
    script = (
        "import sys, pysqlite3.dbapi2 as s; c = s.connect('cleaning_service_stable.db'); "
        "print(*c.execute('SELECT count(*) FROM user_account WHERE email = ?', sys.argv[1:]).fetchone())"
    )
    assert host.check_output(f'docker exec {API} /srv/venv/bin/python -c "{script}" {user["email"]}') == "1"


@pytest.mark.parametrize("path", ["/health", "/health/live", "/docs", "/openapi.json"])
def test_public_pages(world: httpx.Client, path: str) -> None:
    assert world.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/internal/canary",
        "//internal/canary",
        "/internal%2fcanary",
        "/INTERNAL/canary",
        "/x/../internal/canary",
        "/metrics",
        "/health/ready",
        "//health/ready",
        "/health/ready/",
    ],
)
def test_what_is_private_does_not_exist_for_the_world(host: Host, path: str) -> None:
    token = host.check_output(f"sed -n s/^CANARY_TOKEN=//p {DIRECTORY}/.env")
    request = (
        f"{{method}} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    for method in ("GET", "POST"):
        with socket.create_connection((address(), 80), timeout=10) as connection:
            connection.sendall(request.format(method=method).encode())
            answer = connection.makefile("rb").read().decode()
        assert answer.split()[1] == "404", answer
        assert "application/problem+json" in answer.lower()


def test_the_canary_answers_the_monitor(host: Host) -> None:
    token = host.check_output(f"sed -n s/^CANARY_TOKEN=//p {DIRECTORY}/.env")
    answer = host.check_output(f"curl -sS -X POST -H 'Authorization: Bearer {token}' {ASK_API}/internal/canary")
    assert json.loads(answer)["status"] == "ok"


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_confined(host: Host, container: str) -> None:
    found = inspect(host, container)
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["Memory"] > 0
    assert found["HostConfig"]["PidsLimit"] > 0
    assert host.check_output(f"docker exec {container} id -u") == "10001"
    assert host.run(f"docker exec {container} touch /usr/x").rc != 0
    status = host.check_output(f"docker exec {container} cat /proc/1/status")
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status


def test_redis_keeps_what_it_was_given(host: Host) -> None:
    host.check_output(f"docker exec {REDIS} redis-cli set kept 42")
    host.check_output(f"docker restart {REDIS}")
    wait_until(lambda: healthy(host, REDIS), 30, "Redis healthy again")
    assert host.check_output(f"docker exec {REDIS} redis-cli get kept") == "42"


def test_redis_wants_its_password(host: Host) -> None:
    assert "NOAUTH" in host.check_output(f"docker exec --env REDISCLI_AUTH= {REDIS} redis-cli get kept")
