"""Readiness checks of replaced containers."""

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

MINIMUM_START_TIMEOUT = 60.0  # seconds; the shortest start timeout on any host
START_TIMEOUT_FACTOR = 4.0  # multiple of the slowest start measured on the host
CANARY_TIMEOUT = 15.0  # seconds
CANARY_ATTEMPTS = 3
PROXY_TIMEOUT = 15.0  # seconds; the proxy checks the replicas twice a second
_POLL_INTERVAL = 0.2  # seconds
_PROBE_TIMEOUT = 3.0  # seconds
_MAXIMUM_RESTARTS = 2  # of a container, after which its start has failed
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Response:
    """An HTTP response; status 0 if there was none."""

    status: int
    body: str


def start_timeout(allowed: float, slowest: float) -> float:
    """Return how many seconds a container may take to become ready.

    Args:
        allowed: the start period in the compose file, in seconds; the limit if no start was measured yet.
        slowest: the slowest start measured on this host, in seconds; 0 if none was measured.
    """
    return max(MINIMUM_START_TIMEOUT, min(allowed, START_TIMEOUT_FACTOR * slowest) if slowest else allowed)


def await_ready(service: Service, name: str, url: str | None, token: str, within: float) -> float:
    """Wait until a container is ready; return how many seconds that took.

    Args:
        service: the container's service.
        name: the container's name.
        url: address for HTTP requests, http://ADDRESS:PORT or unix:PATH; None for Redis.
        token: access token of the canary.
        within: timeout in seconds.

    Raises:
        ReleaseError: the container ends, is not ready in time, or fails the canary.
    """
    begun = time.monotonic()
    reason = "it has not started"
    while time.monotonic() - begun < within:
        container = compose.container(name)
        if container is None:
            raise ReleaseError(f"the container {name} does not exist any more")
        _require_running(container)
        reason = _not_ready_reason(service, container, url)
        if not reason:
            if service.kind == "api":
                run_canary(name, url or "", token)
            return time.monotonic() - begun
        time.sleep(_POLL_INTERVAL)
    raise ReleaseError(f"{name} was not ready within {within:g} s: {reason}", compose.log_tail(name))


def _require_running(container: Container) -> None:
    """Check that a container has not ended.

    Raises:
        ReleaseError: it has ended, or restarts again and again.
    """
    ended = container.state in ("exited", "dead")
    if ended or container.restarts >= _MAXIMUM_RESTARTS:
        raise ReleaseError(
            f"{container.name} does not start: it ended with exit code {container.exit_code}",
            compose.log_tail(container.name),
        )


def _not_ready_reason(service: Service, container: Container, url: str | None) -> str:
    """Return why a container is not ready; empty if it is."""
    if container.state != "running":
        return f"it is {container.state}"
    if service.kind == "api":
        return _failure_reason("/health/ready", send_request(url or "", "/health/ready"))
    if service.kind == "proxy" and url:
        answer = send_request(url, "/metrics")
        if not 0 < answer.status < _SERVER_ERROR:
            return f"it answers with {answer.status or 'nothing'}"
        return ""
    return "" if container.health in ("healthy", "") else f"Docker calls it {container.health}"


def _failure_reason(path: str, answer: Response) -> str:
    """Describe a failed request with the API's own reason; empty if it succeeded."""
    if answer.status == http.client.OK:
        return ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return f"GET {path} was answered with {answer.status}: {json.loads(answer.body)['detail']}"
    return f"GET {path} was answered with {answer.status or 'nothing'}"


def run_canary(name: str, url: str, token: str) -> None:
    """Run the registration canary: the API registers an account and rolls back.

    Raises:
        ReleaseError: the canary failed several times.
    """
    answer = Response(0, "")
    for attempt in range(CANARY_ATTEMPTS):
        if attempt:
            time.sleep(1)
        answer = send_request(url, "/internal/canary", "POST", {"Authorization": f"Bearer {token}"}, CANARY_TIMEOUT)
        if answer.status == http.client.OK:
            return
    failure = f"{answer.status}: {answer.body[:300]}" if answer.status else "nothing"
    raise ReleaseError(f"{name} is ready, but a registration is answered with {failure}", compose.log_tail(name))


def check_proxy(url: str, domain: str, tls_port: int) -> None:
    """Check that the proxy forwards requests to a working replica; retry until it has noticed one.

    Args:
        url: the proxy's address for plain HTTP.
        domain: the domain for TLS; empty if the proxy serves plain HTTP alone.
        tls_port: the published port for TLS.

    Raises:
        ReleaseError: no request succeeded in time.
    """
    reason, deadline = "", time.monotonic() + PROXY_TIMEOUT
    while time.monotonic() < deadline:
        answer = _send_over_tls(domain, tls_port) if domain else send_request(url, "/health")
        # On a first release the domain is not known here yet, and the proxy redirects to it.
        if http.client.MOVED_PERMANENTLY <= answer.status < http.client.BAD_REQUEST:
            return
        reason = _failure_reason("/health", answer)
        if not reason:
            return
        time.sleep(_POLL_INTERVAL)
    raise ReleaseError(f"the replicas work, but through the proxy, {reason}")


def _send_over_tls(domain: str, port: int) -> Response:
    """Request the health endpoint over TLS. The monitor verifies the certificate, not the release."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPConnection(domain, timeout=_PROBE_TIMEOUT)
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=_PROBE_TIMEOUT)
        with plain, context.wrap_socket(plain, server_hostname=domain) as connection.sock:
            return _send(connection, "/health")
    except (OSError, http.client.HTTPException):
        return Response(0, "")


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def send_request(
    url: str, path: str, method: str = "GET", headers: dict[str, str] | None = None, timeout: float = _PROBE_TIMEOUT
) -> Response:
    """Send one request without a body.

    Args:
        url: the server, http://ADDRESS:PORT or unix:PATH.
        path: the request's path.
        method: the request's method.
        headers: additional headers.
        timeout: seconds for connecting, and for each read.
    """
    parts = urlsplit(url)
    connection = (
        UnixConnection(parts.path, timeout)
        if parts.scheme == "unix"
        else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    )
    try:
        return _send(connection, path, method, headers)
    except (OSError, http.client.HTTPException):
        return Response(0, "")
    finally:
        connection.close()


def _send(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> Response:
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    return Response(response.status, response.read(4096).decode("utf-8", "replace"))
