"""What alerts are sent to in the tests: real servers, with TLS where asked, that behave as badly as told."""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

INCIDENT: dict[str, Any] = {
    "id": "20261125T051800Z-api",
    "component": "api",
    "cause": "GET /health/ready: no answer within 3 s",
    "began": 1764047880.0,
    "ended": None,
    "person_needed": False,
    "evidence": ["INFO started", "ERROR database is locked"],
    "steps": [
        {
            "at": 1764047884.0,
            "action": "restart",
            "attempt": "1 of 5",
            "succeeded": True,
            "detail": "the container was restarted",
        }
    ],
}


def incident(component: str = "api", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON has it
    """Return an incident of a component."""
    return {**INCIDENT, "id": f"20261125T051800Z-{component}", "component": component, **changes}


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - as JSON has it
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets.

    `answer` is told each request before it is answered, and returns a status and headers.
    """

    answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda _: (200, {})
    body: bytes = b""
    requests: list[Received] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def kinds(self) -> list[str]:
        """Which kinds of messages came, in their order."""
        return [request.json["kind"] for request in self.requests]


@contextmanager
def receiver(tls: tuple[Path, Path] | None = None, port: int = 0) -> Iterator[Receiver]:
    """Run one; `tls` is a certificate and its key."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            request = Received(self.command, self.path, self.headers, body)
            kept.requests.append(request)
            status, headers = kept.answer(request)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(kept.body))}.items():
                self.send_header(name, value)
            with suppress(OSError):  # the client did not wait
                self.end_headers()
                self.wfile.write(kept.body)

        do_GET = do_POST = take  # noqa: N815 - named by http.server

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_arguments: object) -> None:
            """Keep quiet: clients that break off are a part of the tests."""

    server = Server(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        kept.scheme = "https"
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(directory: Path, name: str = "127.0.0.1") -> tuple[Path, Path]:
    """Make a certificate that signs itself, for an address or a name; returns it and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    kind_of_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}"]
    subprocess.run(["openssl", "req", "-x509", *kind_of_key, *files, *names], check=True, capture_output=True)
    return certificate, key
