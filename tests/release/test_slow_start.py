"""The start timeout of a container."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cleaning_service_host.files import read_json, write_atomically
from cleaning_service_release import compose, probes
from cleaning_service_release.compose import Compose, Container, Service
from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.layout import Layout
from cleaning_service_release.release import Releaser

SLOW = 2.0  # seconds until the API below is ready
API = Service("api", "api", "cleaning_service_api_stable", "cleaning-service/api:1", None, None, (), start_period=300.0)


@pytest.fixture
def slow_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An API that first refuses connections, as during imports, then answers 503, and finally works."""
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = time.monotonic() - began > SLOW
            self.send_response(200 if ready else 503)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.server_bind()
    opened = threading.Timer(SLOW / 2, server.server_activate)

    def serve() -> None:
        opened.join()
        server.serve_forever(0.05)

    serving = threading.Thread(target=serve)
    opened.start()
    serving.start()
    container = Container("api", "1", "running", "starting", 0, 0, [])
    monkeypatch.setattr(compose, "container", lambda _: container)
    monkeypatch.setattr(compose, "log_tail", lambda _: [])
    yield f"http://127.0.0.1:{server.server_address[1]}"
    opened.join()
    server.shutdown()
    serving.join()
    server.server_close()


def test_first_start_may_take_the_compose_files_start_period(
    slow_api: str, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minimum timeout is shortened; the start takes longer, and none was measured on the host before."""
    monkeypatch.setattr(probes, "MINIMUM_START_TIMEOUT", SLOW / 5)
    monkeypatch.setattr(Compose, "up", lambda *_: None)
    layout.install(layout.wanted)
    log: list[str] = []
    releaser = Releaser(layout, log.append)
    releaser._replace(replace(API, url=slow_api), releaser._start_timeout(API), first=True)
    assert log[0].startswith("api: created in ")
    assert read_json(layout.start_times)["slowest"] == pytest.approx(SLOW, abs=1)
    # The next release waits longer than the measured start. After a fast measured start, it gives up.
    assert Releaser(layout, log.append)._start_timeout(API) > SLOW
    write_atomically(layout.start_times, {"slowest": SLOW / 100})
    with pytest.raises(ReleaseError, match=r"was not ready within 0.4 s"):
        probes.await_ready(API, "api", "http://127.0.0.1:9", "", Releaser(layout, log.append)._start_timeout(API))


@pytest.mark.parametrize(
    ("allowed", "slowest", "seconds"),
    [(300, 0, 300), (300, 2.5, 60), (300, 40, 160), (300, 200, 300), (30, 0, 60), (30, 90, 60)],
)
def test_start_timeout(allowed: float, slowest: float, seconds: float) -> None:
    assert probes.start_timeout(allowed, slowest) == seconds


@pytest.mark.parametrize(("written", "seconds"), [("5m0s", 300), ("45s", 45), ("1h2m3.5s", 3723.5), ("1500ms", 1.5)])
def test_start_period_is_parsed(written: str, seconds: float) -> None:
    wanted = {"container_name": "x", "image": "y", "healthcheck": {"start_period": written}}
    assert compose._service("redis", wanted).start_period == seconds
