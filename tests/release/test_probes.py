"""HTTP requests to replaced containers."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import UnixStreamServer

import pytest
from cleaning_service_release.probes import Response, send_request


class Echo(BaseHTTPRequestHandler):
    """Answers with the request's path and headers."""

    def do_POST(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers['Host']} {self.headers['X-Test']}".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.mark.parametrize("kind", ["TCP", "Unix"])
def test_request_over_tcp_and_unix_socket(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "api.sock"
    server = UnixStreamServer(str(path), Echo) if kind == "Unix" else HTTPServer(("127.0.0.1", 0), Echo)
    url = f"unix:{path}" if kind == "Unix" else f"http://127.0.0.1:{server.socket.getsockname()[1]}"
    threading.Thread(target=server.handle_request, daemon=True).start()
    answer = send_request(url, "/canary", "POST", {"X-Test": "here"})
    server.server_close()
    host = "localhost" if kind == "Unix" else url.removeprefix("http://")
    assert answer == Response(200, f"/canary {host} here")
    assert send_request(url, "/canary") == Response(0, "")


def test_request_without_a_server(tmp_path: Path) -> None:
    assert send_request(f"unix:{tmp_path}/missing.sock", "/health/ready") == Response(0, "")
