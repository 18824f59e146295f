"""The documentation page in a real browser: its prefilled request works unchanged."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.app.company import rows
from tests.app.conftest import RunningApi

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--virtual-time-budget=20000",
)
PROBE = """<!DOCTYPE html><title>waiting</title><iframe src="docs#/auth/register" width="1200" height="900"></iframe>
<script>
const inside = (selector) => document.querySelector("iframe").contentDocument.querySelector(selector);
const operation = "#operations-auth-register ";
const steps = [".try-out__btn", ".execute", ".live-responses-table tbody .response-col_status"];
const turn = () => {
  const found = inside(operation + steps[0]);
  if (found && steps.length > 1) { found.click(); steps.shift(); }
  else if (found) { document.title = "status " + found.textContent.trim().slice(0, 3); return; }
  setTimeout(turn, 100);
};
onload = turn;
</script>"""


class ForwardingHandler(BaseHTTPRequestHandler):
    """Serves the probe, and forwards other requests to the API.

    The page forbids frames, so the probe can read it only from the same origin and without the page's headers.
    """

    def __init__(self, url: str, *arguments: object) -> None:
        self.url = url
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with the probe, or forward the request."""
        if self.path == "/probe":
            self._answer(200, "text/html", PROBE.encode())
        else:
            self._forward("GET", None)

    def do_POST(self) -> None:
        """Forward the request."""
        self._forward("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def _forward(self, method: str, body: bytes | None) -> None:
        kept = {name: self.headers[name] for name in ("Content-Type", "Idempotency-Key") if name in self.headers}
        answer = httpx.request(method, self.url + self.path, headers=kept, content=body, trust_env=False)
        self._answer(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)

    def _answer(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


@contextmanager
def forwarding_server(url: str) -> Iterator[str]:
    """Run a server in front of the API, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(ForwardingHandler, url)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.timeout(120)
def test_registration_works_with_the_prefilled_example(api: RunningApi, tmp_path: Path) -> None:
    program = shutil.which("chromium")
    assert program, "make machine installs chromium"
    kept = "SELECT count(*) FROM idempotency_record WHERE scope = 'anonymous'"
    accounts, ((keys,),) = api.server.rows(), rows(api.database, kept)
    with forwarding_server(api.server.url) as url:
        command = [program, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{url}/probe"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    title = re.search("<title>(.*?)</title>", shown)
    assert title
    assert title[1] == "status 201", json.dumps(shown)[:2000]
    assert api.server.rows() == accounts + 1
    assert rows(api.database, kept) == [(keys + 1,)], "the page has filled in a key"
