"""The proxy with a real Caddy: the status page, and what a person sees while the API is away."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jinja2
import pytest

from tests.app.conftest import free_port

_STACK = Path(__file__).parents[2] / "roles" / "stack"
_BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
_AWAY = {"type": "/problems/service-unavailable", "title": "The service is not available right now"}


@dataclass
class Proxy:
    """A running Caddy, its client and the directory that the monitor would write."""

    client: httpx.Client
    status: Path
    api: int  # port on which a replica may listen


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Caddy with the role's own configuration; only its ports and directories are other ones."""
    program = shutil.which("caddy")
    assert program, "make setup installs caddy into .venv/bin"
    directory = tmp_path_factory.mktemp("proxy")
    status, pages = directory / "status", directory / "pages"
    status.mkdir()
    shutil.copytree(_STACK / "files" / "pages", pages)
    ports = {name: free_port() for name in ("http", "https", "health", "api", "nobody")}
    environment = jinja2.Environment(autoescape=False, trim_blocks=True)  # noqa: S701  # no HTML
    text = environment.from_string((_STACK / "templates" / "Caddyfile.j2").read_text()).render(
        ansible_managed="a test",
        stack_proxy_email="",
        stack_proxy_domain="",
        stack_request_timeout=2,
        _stack_replica_suffixes=["", "_2"],
    )
    for before, after in {
        "http_port 8080": f"http_port {ports['http']}",
        "https_port 8443": f"https_port {ports['https']}",
        "http://:8099": f"http://127.0.0.1:{ports['health']}",
        "api:8000": f"127.0.0.1:{ports['api']}",
        "api_2:8000": f"127.0.0.1:{ports['nobody']}",
        "lb_try_duration 5s": "lb_try_duration 300ms",
        "/srv/status": str(status),
        "/etc/caddy/pages": str(pages),
        "grace_period 10s": "grace_period 0s",
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    config = directory / "Caddyfile"
    config.write_text(text)
    log = (directory / "log").open("w")
    process = subprocess.Popen(
        [program, "run", "--config", config, "--adapter", "caddyfile"],
        env={"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)},
        stdout=log,
        stderr=log,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports['http']}", trust_env=False) as client:
            for _ in range(200):
                try:
                    if client.get("/").status_code == 503:  # by then it knows that no replica is well
                        break
                except httpx.TransportError:
                    assert process.poll() is None, (directory / "log").read_text()
                    time.sleep(0.05)
            yield Proxy(client, status, ports["api"])
    finally:
        process.terminate()
        process.wait(10)
        log.close()


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
        assert answer.text == (_STACK / "files" / "pages" / name).read_text()
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
    assert answer.json() == {"type": "about:blank", "title": "Not Found", "status": 404}
