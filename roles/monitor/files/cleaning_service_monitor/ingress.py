"""The way in, asked from where clients are: published port, proxy, replica, database and Redis.

A connection that the host makes to itself does not pass the firewall's FORWARD chain, which the packets of clients
do on their way to the proxy's container. The role therefore makes a network namespace with a link to the host, and in
it a forwarder from a socket file to the published port: what is sent through that file enters the host as a
neighbour's packets do.
"""

import ipaddress
import json
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cleaning_service_host.commands import CommandError, last_line, run_command

from cleaning_service_monitor.config import Config, IngressSettings
from cleaning_service_monitor.ladder import INGRESS, Health, Verdict
from cleaning_service_monitor.transport import Answer, NoAnswerError, request

NO_ENTRY = "no client gets in"
NO_ENTRY_BY_IPV6 = "clients by IPv6 do not get in"
_NOT_WATCHED = "it is not known whether clients get in, as the network namespace of the probe does not work"
_BY_THE_PROXY = "/metrics"  # refused by the proxy itself: cheap, and an answer all the same
_THROUGH_A_REPLICA = "/health"  # the API asks its database and Redis, and never refuses it because of load
_HEADERS = {"User-Agent": "cleaning-service-monitor"}
_SERVER_ERROR = 500
_WITHOUT_REDIS = 2  # answers in a row; one alone comes from a circuit breaker that is still open
_TLS_AGAIN = 10.0  # seconds from a request by TLS that failed to the next
_IF_INET6 = Path("/proc/net/if_inet6")
_GLOBAL = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True)
class Entry:
    """What was found out: a verdict on the way in, and what only the proxy can be blamed for."""

    verdict: Verdict
    refusal: str = ""  # how the proxy answered instead of a replica


class Ingress:
    """Asks for the published port as a client does.

    Args:
        config: the settings.
        settings: those of the way in.
        has_ipv6: whether clients can reach the host by IPv6; other than the system's for tests.
    """

    def __init__(self, config: Config, settings: IngressSettings, has_ipv6: Callable[[], bool] | None = None) -> None:
        self._config = config
        self._settings = settings
        self._has_ipv6 = has_ipv6 or _has_ipv6
        # Both families' probes and this one end before the look's bound, the sum of both time-outs and a second.
        self._tls_timeout = max(config.probe_timeout, config.canary_timeout - config.probe_timeout)
        self._without_redis = 0
        self._next_by_tls = 0.0
        self._by_tls = Entry(Verdict(INGRESS, Health.OK))

    def look(self, *, full: bool) -> Entry:
        """Ask the proxy over each family of addresses and, if `full`, a replica through it."""
        paths = [("IPv4", self._settings.ipv4, NO_ENTRY)]
        if self._has_ipv6():
            paths.append(("IPv6", self._settings.ipv6, NO_ENTRY_BY_IPV6))
        through = full and not self._settings.domain
        path = _THROUGH_A_REPLICA if through else _BY_THE_PROXY
        found = Entry(Verdict(INGRESS, Health.OK))
        for family, target, meaning in paths:
            try:
                answer = request(target, "GET", path, timeout=self._config.probe_timeout, headers=_HEADERS)
            except NoAnswerError as error:
                if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError | PermissionError):
                    return Entry(Verdict(INGRESS, Health.DEGRADED, f"{_NOT_WATCHED}: {target.path}: {error}"))
                return Entry(Verdict(INGRESS, Health.SICK, f"{meaning}: GET {path} over {family}: {error}"))
            if through and found.verdict.health is Health.OK:
                found = self._judge(answer)
        return self._ask_by_tls() if full and self._settings.domain else found

    def _judge(self, answer: Answer) -> Entry:
        """Judge what came through a replica. A limit of requests (429) is an answer of the API too."""
        if answer.status >= _SERVER_ERROR:
            refusal = f"GET {_THROUGH_A_REPLICA} through the published port was answered with {answer.status}"
            return Entry(Verdict(INGRESS, Health.OK), refusal)
        try:
            redis = json.loads(answer.body)["checks"]["redis"]
        except (ValueError, KeyError, TypeError):
            redis = "ok"
        self._without_redis = 0 if redis == "ok" else self._without_redis + 1
        if self._without_redis >= _WITHOUT_REDIS:
            cause = "clients get in, and the API does not reach Redis"
            return Entry(Verdict(INGRESS, Health.DEGRADED, cause))
        return Entry(Verdict(INGRESS, Health.OK))

    def _ask_by_tls(self) -> Entry:
        """Ask a replica by HTTPS, in a process of its own: the TLS library takes more memory than the monitor."""
        now = time.monotonic()
        if now < self._next_by_tls:
            return self._by_tls
        command = [sys.executable, "-m", "cleaning_service_monitor", "--config", self._config.path, "ask-by-tls"]
        try:
            status, _, body = last_line(run_command(command, self._tls_timeout)).partition(" ")
            self._by_tls = self._judge(Answer(int(status), body.encode()))
            self._next_by_tls = now + self._config.check_interval
        except (CommandError, ValueError) as error:
            cause = f"clients get in, but not by HTTPS: {str(error).split(': ', 1)[-1]}"
            self._by_tls = Entry(Verdict(INGRESS, Health.DEGRADED, cause))
            self._next_by_tls = now + _TLS_AGAIN
        return self._by_tls


def ask_by_tls(settings: IngressSettings, timeout: float) -> tuple[int, bytes]:
    """Ask a replica through the published HTTPS port; return status and body.

    Whether the certificate can be trusted is looked at elsewhere.

    Raises:
        OSError: nothing came in time.
        http.client.HTTPException: it was no HTTP.
    """
    import http.client  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPConnection(settings.domain, timeout=timeout)
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(timeout)
        plain.connect(settings.ipv4.path)
        with context.wrap_socket(plain, server_hostname=settings.domain) as connection.sock:
            connection.request("GET", _THROUGH_A_REPLICA, headers=_HEADERS)
            answer = connection.getresponse()
            return answer.status, answer.read()


def _has_ipv6() -> bool:
    """Whether the host has an IPv6 address that clients can reach."""
    try:
        lines = _IF_INET6.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(ipaddress.IPv6Address(int(line.split()[0], 16)) in _GLOBAL for line in lines)
