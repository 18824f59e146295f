"""Request limits, health, logs and metrics of a running API."""

import concurrent.futures
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2

from tests.app.conftest import CANARY_TOKEN, Serve, Server, new_user


def test_large_body_is_refused(client: httpx.Client) -> None:
    body = json.dumps(new_user() | {"full_name": "x" * 1_100_000})
    assert client.post("/api/v1/auth/register", content=body).status_code == 413

    def pieces() -> Iterator[bytes]:  # without a Content-Length
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536].encode()

    assert client.post("/api/v1/auth/register", content=pieces()).status_code == 413


def test_request_id_is_echoed_or_generated(client: httpx.Client) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "abcdef-123"}).headers["X-Request-ID"] == "abcdef-123"
    made = client.get("/health/live", headers={"X-Request-ID": "bad id"}).headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_foreign_write_lock_delays_requests_only_until_the_timeout(serve: Serve) -> None:
    server = serve(DATABASE_TIMEOUT="2")
    stranger = dbapi2.connect(server.database, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    try:
        started = time.monotonic()
        answer = httpx.post(f"{server.url}/api/v1/auth/register", json=new_user(), timeout=20, trust_env=False)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert time.monotonic() - started < 5
        assert httpx.get(f"{server.url}/health/ready", trust_env=False).status_code == 200
    finally:
        stranger.close()
    answer = httpx.post(f"{server.url}/api/v1/auth/register", json=new_user(), timeout=20, trust_env=False)
    assert answer.status_code == 201


def test_requests_above_the_concurrency_limit_are_shed(serve: Serve) -> None:
    server = serve(MAX_CONCURRENT_REQUESTS="2", HASH_WORKERS="1")

    def register() -> httpx.Response:
        return httpx.post(f"{server.url}/api/v1/auth/register", json=new_user(), timeout=40, trust_env=False)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [job.result() for job in [pool.submit(register) for _ in range(20)]]
    assert {answer.status_code for answer in answers} == {201, 503}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {CANARY_TOKEN}"])
def test_canary_requires_its_token(client: httpx.Client, authorization: str | None) -> None:
    answer = client.post("/internal/canary", headers={"Authorization": authorization} if authorization else {})
    assert answer.status_code in {401, 403}


def test_canary_leaves_no_rows(client: httpx.Client, server: Server) -> None:
    for _ in range(3):
        answer = client.post("/internal/canary", headers={"Authorization": f"Bearer {CANARY_TOKEN}"})
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert server.rows() == 0


def test_health_without_redis_is_degraded_and_still_200(serve: Serve) -> None:
    server = serve(REDIS_URL="redis://127.0.0.1:1")
    answer = httpx.get(f"{server.url}/health", trust_env=False)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


def test_docs_page_loads_no_external_resources(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "//" not in re.sub(r"<!doctype html>", "", page.text)
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.get(f"/{asset}").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert "/api/v1/auth/register" in paths
    assert not [path for path in paths if path.startswith(("/internal", "/metrics"))]


def test_metrics_count_requests_by_route(client: httpx.Client) -> None:
    client.get("/health/live")
    assert "/health/live" in client.get("/metrics").text


def test_unwritable_log_file_does_not_stop_the_server(serve: Serve, tmp_path: Path) -> None:
    server = serve(LOG_FILE=str(tmp_path / "no" / "such" / "place.log"))
    assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


def test_logs_are_json_with_request_id_and_without_secrets(serve: Serve, tmp_path: Path) -> None:
    server = serve(LOG_FILE=str(tmp_path / "api.log"))
    user = new_user()
    answer = httpx.post(f"{server.url}/api/v1/auth/register?token=hidden", json=user, trust_env=False)
    wanted = answer.headers["X-Request-ID"]
    deadline = time.monotonic() + 5
    while wanted not in (tmp_path / "api.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = (tmp_path / "api.log").read_text()
    assert all(json.loads(line)["event"] for line in text.splitlines())
    assert user["password"] not in text
    assert "hidden" not in text
