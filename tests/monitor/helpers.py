"""What several tests of the monitor need: servers that misbehave on demand, configurations, a look at containers."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROLES = Path(__file__).parents[2] / "roles"
# On a server they are one directory.
PACKAGE_DIRECTORY = ROLES / "monitor/files"
SHARED_DIRECTORY = ROLES / "stack/files"
TOKEN = "t" * 32
SOCKET = "/run/docker.sock"


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until a condition holds; fail with `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def docker(*arguments: str) -> str:
    """Run the real Docker command line and return what it printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(container: str, what: str) -> str:
    """Return one property of a container, such as `.State.Status`."""
    return docker("inspect", "--format", f"{{{{{what}}}}}", container)


def component(name: str, kind: str, container: str, port: int | None = None) -> dict[str, str]:
    """One entry of the configuration's `components`."""
    entry = {"name": name, "kind": kind, "service": name, "container": container}
    return entry if port is None else {**entry, "url": f"http://127.0.0.1:{port}"}


def write_config(directory: Path, components: Sequence[Mapping[str, object]], **changes: object) -> Path:
    """Write a configuration whose state and log are in `directory`, quick enough for tests."""
    state = directory / "state"
    state.mkdir(exist_ok=True)
    (directory / "status").mkdir(exist_ok=True)
    settings: dict[str, object] = {
        "directory": str(directory),
        "compose_file": "/nonexistent/docker-compose.yml",
        "project": "montest",
        "docker_socket": SOCKET,
        "components": list(components),
        "canary_token": TOKEN,
        "probe_interval": 0.2,
        "check_interval": 0.5,
        "probe_timeout": 0.5,
        "canary_interval": 0.5,
        "canary_timeout": 0.5,
        "start_grace": 0.5,
        "backoff": 0,
        "host": {
            "clock_check": False,
            "integrity_hour": None,
            "disk_degraded_percent": 0,
            "disk_full_percent": 0,
            "memory_degraded_percent": 0,
        },
        "log_file": str(directory / "monitor.log"),
        "state_dir": str(state),
        **changes,
    }
    path = directory / "monitor.json"
    path.write_text(json.dumps(settings))
    return path


@contextmanager
def raw_server(path: str, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Accept connections on a socket file and let `answer` do with each what no proper server would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue  # the client has hung up, as it should

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


class Service:
    """A real HTTP server on 127.0.0.1 whose answers a test sets: a status for each path, or a delay."""

    def __init__(self) -> None:
        self.status = {"/health/ready": 200, "/metrics": 404, "/internal/canary": 200}
        self.body = {"/health/ready": b'{"status":"ok","writes":"ok"}'}
        self.delay = {"/health/ready": 0.0, "/metrics": 0.0, "/internal/canary": 0.0}
        self.requests: list[tuple[str, str, str]] = []
        self.ended = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                service.requests.append((self.command, self.path, self.headers.get("Authorization", "")))
                if service.ended.wait(service.delay[self.path]):
                    return
                self.send_response(service.status[self.path])
                body = service.body.get(self.path, b"")
                self.send_header("Content-Length", str(len(body)))
                try:
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return  # the client did not wait

            do_GET = do_POST = answer  # noqa: N815 - named by http.server

            def log_message(self, *_arguments: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
