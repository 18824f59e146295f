"""The proxy with a real Caddy: the status page, and what a person sees while the API is away."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

import pytest

from tests.proxy import STACK, Proxy, caddy, replica_socket

_BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
_AWAY = {
    "type": "/problems/service-unavailable",
    "title": "The service is not available right now",
    "detail": "The service did not answer. Try again shortly.",
}
_REFUSED = {"type": "about:blank", "detail": "The request did not get as far as the service."}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose two replicas are away."""
    with caddy(tmp_path_factory.mktemp("proxy"), ["", "_2"]) as proxy:
        yield proxy


class _Echo(BaseHTTPRequestHandler):
    """Answers with the headers that reached it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()} | {"filler": "x" * 2000})
        self.send_response(200)
        self.send_header("Server", "secret")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _UnixServer(ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with a single replica, which shows what it was asked."""
    directory = tmp_path_factory.mktemp("serving")
    server = _UnixServer(str(replica_socket(directory, "")), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with caddy(directory, [""]) as proxy:
            yield proxy
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def proxy(running: Proxy) -> Iterator[Proxy]:
    """The proxy with a published status and without an API."""
    (running.status / "index.html").write_text("English")
    (running.status / "index.ru.html").write_text("Русский")
    (running.status / "status.json").write_text("{}")
    (running.status / "metrics.prom").write_text("secret")
    yield running
    for path in running.status.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("path", "wanted", "text"),
    [
        ("/status", "", "English"),
        ("/status", "de, ru;q=0.5", "English"),
        ("/status", "ru-RU,ru;q=0.9,en;q=0.8", "Русский"),
        ("/status/", "RU", "Русский"),
        ("/status", "rum", "English"),
        ("/status/en", "ru", "English"),
        ("/status/ru", "en", "Русский"),
    ],
)
def test_status_page_has_the_readers_language(proxy: Proxy, path: str, wanted: str, text: str) -> None:
    answer = proxy.client.get(path, headers={"accept-language": wanted})
    assert (answer.status_code, answer.text) == (200, text)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"].startswith("Accept-Language")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert "server" not in answer.headers


def test_status_is_there_as_data(proxy: Proxy) -> None:
    answer = proxy.client.get("/status.json")
    assert answer.json() == {}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"


def test_status_is_only_read(proxy: Proxy) -> None:
    assert proxy.client.post("/status").status_code == 405
    assert proxy.client.head("/status").status_code == 200


def test_renewed_page_is_seen_at_once(proxy: Proxy) -> None:
    first = proxy.client.get("/status")
    same = proxy.client.get("/status", headers={"if-none-match": first.headers["etag"]})
    assert same.status_code == 304
    (proxy.status / "index.html").write_text("Another one")
    assert proxy.client.get("/status", headers={"if-none-match": first.headers["etag"]}).text == "Another one"


@pytest.mark.parametrize(
    "path",
    [
        "/status/metrics.prom",
        "/metrics.prom",
        "/status/maintenance",
        "/maintenance",
        "/status/index.html",
        "/index.html",
        "/status/../metrics.prom",
        "/status/en/../../metrics.prom",
        "/status/%2e%2e/metrics.prom",
        "/status//metrics.prom",
        "/pages/away.en.html",
        "/away.en.html",
    ],
)
def test_nothing_else_of_the_directory_is_public(proxy: Proxy, path: str) -> None:
    (proxy.status / "maintenance").touch()
    answer = proxy.client.get(path)
    assert answer.status_code in (404, 503)
    assert answer.headers["content-type"] == "application/problem+json"


def test_status_before_the_first_look_is_not_found(proxy: Proxy) -> None:
    (proxy.status / "index.html").unlink()
    answer = proxy.client.get("/status")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", "text/html;q=0.2, */*"])
@pytest.mark.parametrize("paused", [True, False])
def test_program_gets_a_problem_while_the_api_is_away(proxy: Proxy, accept: str, *, paused: bool) -> None:
    if paused:
        (proxy.status / "maintenance").touch()
    answer = proxy.client.get("/api/v1/services", headers={"accept": accept})
    assert answer.status_code == 503
    assert answer.json() == _AWAY | {"status": 503}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["retry-after"] == "5"
    assert "content-security-policy" not in answer.headers


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("paused", [True, False])
def test_person_gets_a_page_while_the_api_is_away(proxy: Proxy, language: str, *, paused: bool) -> None:
    if paused:
        (proxy.status / "maintenance").touch()
    name = f"{'maintenance' if paused else 'away'}.{language}.html"
    stale = {"if-none-match": "*", "if-modified-since": "Wed, 25 Nov 2099 05:18:00 GMT", "range": "bytes=0-3"}
    for more in ({}, stale):
        answer = proxy.client.get("/docs", headers=_BROWSER | {"accept-language": language} | more)
        assert answer.status_code == 503
        assert answer.text == (STACK / "files" / "pages" / name).read_text()
        assert f'href="/status/{language}"' in answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["retry-after"] == "5"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "etag" not in answer.headers


def test_form_of_a_person_gets_a_problem(proxy: Proxy) -> None:
    answer = proxy.client.post("/api/v1/users", headers=_BROWSER, content=json.dumps({}))
    assert answer.json() == _AWAY | {"status": 503}


def test_private_paths_stay_private_to_a_person(proxy: Proxy) -> None:
    answer = proxy.client.get("/metrics", headers=_BROWSER)
    assert answer.json() == _REFUSED | {"title": "Not Found", "status": 404}


@pytest.mark.parametrize("path", ["/metrics", "/internal", "/internal/canary", "/health/ready"])
def test_private_paths_do_not_reach_a_replica(serving: Proxy, path: str) -> None:
    answer = serving.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_replica_that_was_killed_costs_no_request(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It leaves a socket file at which nobody listens."""
    directory = tmp_path_factory.mktemp("killed")  # `tmp_path` is too long for a socket
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(replica_socket(directory, "")))
    server = _UnixServer(str(replica_socket(directory, "_2")), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with caddy(directory, ["", "_2"]) as proxy:
            answers = [proxy.client.post("/api/v1/quotes", content=b"x") for _ in range(20)]
    finally:
        server.shutdown()
        server.server_close()
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["host"] for answer in answers} == {answers[0].request.url.netloc.decode()}


def test_nobody_chooses_the_address_they_come_from(serving: Proxy) -> None:
    claims = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": "elsewhere.test",
        "X-Forwarded-Proto": "https",
    }
    seen = serving.client.get("/api/v1/services", headers=claims).json()
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == serving.client.base_url.netloc.decode()


def test_answers_are_compressed_and_do_not_name_the_server(serving: Proxy) -> None:
    answer = serving.client.get("/api/v1/services", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "server" not in answer.headers
    assert "via" not in answer.headers


def test_a_body_that_is_too_large_is_refused(serving: Proxy) -> None:
    assert serving.client.post("/api/v1/quotes", content=b"x" * (1 << 20)).status_code == 200
    answer = serving.client.post("/api/v1/quotes", content=b"x" * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert answer.json() == _REFUSED | {"title": "Request Entity Too Large", "status": 413}


def test_a_client_that_does_not_finish_its_headers_is_sent_away(serving: Proxy) -> None:
    with socket.create_connection((serving.client.base_url.host, serving.client.base_url.port or 80), 20) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n")
        while slow.recv(4096):  # times out where nobody hangs up
            pass


def test_access_log_is_json_without_secrets(serving: Proxy) -> None:
    headers = {"Authorization": "Bearer secret-token", "Cookie": "secret-cookie", "Idempotency-Key": "secret-key"}
    assert serving.client.get("/confirm?token=secret-link", headers=headers).status_code == 200
    for _ in range(100):
        entries = [json.loads(line) for line in serving.log.read_text().splitlines()]
        found = [entry for entry in entries if entry.get("request", {}).get("uri") == "/confirm"]
        if found:
            break
        time.sleep(0.05)
    assert (found[0]["status"], found[0]["request"]["method"]) == (200, "GET")
    assert found[0]["request"]["client_ip"] == "127.0.0.1"
    assert not {"headers", "tls"} & found[0]["request"].keys()
    assert "resp_headers" not in found[0]
    assert "secret" not in serving.log.read_text()


def test_a_replica_that_takes_connections_and_never_answers_gets_no_requests(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One that is frozen, that is: the check of one replica must not be answered by another one."""
    directory = tmp_path_factory.mktemp("frozen")
    server = _UnixServer(str(replica_socket(directory, "")), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as frozen, caddy(directory, ["", "_2"]) as proxy:
        frozen.bind(str(replica_socket(directory, "_2")))
        frozen.listen(100)
        time.sleep(4)  # the proxy looks twice a second, for two seconds, and believes the second look in vain
        statuses = []
        try:
            for _ in range(20):
                statuses.append(proxy.client.get("/", timeout=1).status_code)
                time.sleep(0.2)
        finally:
            server.shutdown()
            server.server_close()
    assert statuses == [200] * 20
