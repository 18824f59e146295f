"""Whether a container that was replaced does its work."""

import contextlib
import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from cleaning_service_release import compose
from cleaning_service_release.compose import Container, Service
from cleaning_service_release.errors import ReleaseError

PATIENCE = 60.0  # seconds that a container may take to be ready, at least, on any host
MARGIN = 4.0  # times the slowest start that a host has shown, which a start may take there
CANARY_TIMEOUT = 15.0  # seconds
CANARY_ATTEMPTS = 3
PROXY_PATIENCE = 15.0  # seconds; it looks at the replicas twice a second
_LOOK = 0.2  # seconds between two looks
_PROBE_TIMEOUT = 3.0  # seconds
_RESTARTS = 2  # after so many the container will not come up
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 where none came."""

    status: int
    body: str


def patience(allowed: float, slowest: float) -> float:
    """Return how many seconds a container may take to be ready.

    Args:
        allowed: what the compose file allows, in seconds; with nothing shown, as long as that.
        slowest: the slowest start that this host has shown, in seconds; 0 where it has shown none.
    """
    return max(PATIENCE, min(allowed, MARGIN * slowest) if slowest else allowed)


def await_ready(service: Service, name: str, url: str | None, token: str, within: float) -> float:
    """Wait until a container does its work; returns after how many seconds.

    Args:
        service: whose container it is.
        name: the container.
        url: where its HTTP answers are asked for, http://ADDRESS:PORT or unix:PATH; None for Redis.
        token: for the canary.
        within: seconds.

    Raises:
        ReleaseError: it ends, or is not ready in time, or the canary fails.
    """
    begun = time.monotonic()
    reason = "it has not started"
    while time.monotonic() - begun < within:
        container = compose.container(name)
        if container is None:
            raise ReleaseError(f"{name} is gone")
        _alive(container)
        reason = _trouble(service, container, url)
        if not reason:
            if service.kind == "api":
                canary(name, url or "", token)
            return time.monotonic() - begun
        time.sleep(_LOOK)
    raise ReleaseError(f"{name} was not ready within {within:g} s: {reason}", compose.last_lines(name))


def _alive(container: Container) -> None:
    """See that a container has not ended.

    Raises:
        ReleaseError: it has, or does so again and again.
    """
    ended = container.state in ("exited", "dead")
    if ended or container.restarts >= _RESTARTS:
        raise ReleaseError(
            f"{container.name} does not start: it ended with exit code {container.exit_code}",
            compose.last_lines(container.name),
        )


def _trouble(service: Service, container: Container, url: str | None) -> str:
    """Say why a container is not ready; nothing when it is."""
    if container.state != "running":
        return f"it is {container.state}"
    if service.kind == "api":
        return _refusal("/health/ready", ask(url or "", "/health/ready"))
    if service.kind == "proxy" and url:
        answer = ask(url, "/metrics")
        if not 0 < answer.status < _SERVER_ERROR:
            return f"it answers with {answer.status or 'nothing'}"
        return ""
    return "" if container.health in ("healthy", "") else f"Docker calls it {container.health}"


def _refusal(path: str, answer: Answer) -> str:
    """Say how the API refused, with its own reason; nothing where it did not."""
    if answer.status == http.client.OK:
        return ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return f"GET {path} was answered with {answer.status}: {json.loads(answer.body)['detail']}"
    return f"GET {path} was answered with {answer.status or 'nothing'}"


def canary(name: str, url: str, token: str) -> None:
    """Rehearse a registration.

    Raises:
        ReleaseError: it failed several times.
    """
    answer = Answer(0, "")
    for attempt in range(CANARY_ATTEMPTS):
        if attempt:
            time.sleep(1)
        answer = ask(url, "/internal/canary", "POST", {"Authorization": f"Bearer {token}"}, CANARY_TIMEOUT)
        if answer.status == http.client.OK:
            return
    said = f"{answer.status}: {answer.body[:300]}" if answer.status else "nothing"
    raise ReleaseError(f"{name} is ready, but a registration is answered with {said}", compose.last_lines(name))


def through_proxy(url: str, domain: str, tls_port: int) -> None:
    """See that a request to the published port reaches a replica that works; the proxy may need a moment to see one.

    Args:
        url: where the proxy answers without TLS.
        domain: the name that it is asked for by TLS; empty where it serves without.
        tls_port: published for that.

    Raises:
        ReleaseError: none of its answers was a good one.
    """
    reason, deadline = "", time.monotonic() + PROXY_PATIENCE
    while time.monotonic() < deadline:
        answer = _ask_by_tls(domain, tls_port) if domain else ask(url, "/health")
        # A first release does not know the domain yet, and is redirected to it.
        if http.client.MOVED_PERMANENTLY <= answer.status < http.client.BAD_REQUEST:
            return
        reason = _refusal("/health", answer)
        if not reason:
            return
        time.sleep(_LOOK)
    raise ReleaseError(f"the replicas work, but through the proxy, {reason}")


def _ask_by_tls(domain: str, port: int) -> Answer:
    """Ask for the health by TLS; whether the certificate can be trusted is the monitor's to look at."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPConnection(domain, timeout=_PROBE_TIMEOUT)
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=_PROBE_TIMEOUT)
        with plain, context.wrap_socket(plain, server_hostname=domain) as connection.sock:
            return _answer(connection, "/health")
    except (OSError, http.client.HTTPException):
        return Answer(0, "")


class UnixConnection(http.client.HTTPConnection):
    """To a socket file."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    url: str, path: str, method: str = "GET", headers: dict[str, str] | None = None, timeout: float = _PROBE_TIMEOUT
) -> Answer:
    """Send one request without a body.

    Args:
        url: the server, http://ADDRESS:PORT or unix:PATH.
        path: what is asked for.
        method: the HTTP method.
        headers: what to send besides what every request has.
        timeout: seconds for connecting, and for each read.
    """
    parts = urlsplit(url)
    connection = (
        UnixConnection(parts.path, timeout)
        if parts.scheme == "unix"
        else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    )
    try:
        return _answer(connection, path, method, headers)
    except (OSError, http.client.HTTPException):
        return Answer(0, "")
    finally:
        connection.close()


def _answer(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> Answer:
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    return Answer(response.status, response.read(4096).decode("utf-8", "replace"))
