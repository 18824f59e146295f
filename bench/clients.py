"""What clients that misbehave do to everybody else: `make bench-clients`, on the demo host.

Well-behaved clients send 10 requests a second through the proxy while clients of one kind after the other misbehave
(`bench/rude_clients.py`). First over plain HTTP, then over HTTPS with a certificate of the host's own authority.
"""

import json
import math
import secrets
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import urllib3

from bench import rude_clients
from bench.demo import ROOT, address, play
from bench.report import Verdict
from bench.rude_clients import Target

RATE = 10.0
"""Requests a second, half of them POST."""
PATIENCE = 20.0
"""Seconds that a client waits for an answer."""
THREADS = 300
MOST = 2.0
"""Highest accepted ratio of the p99 to the p99 of calm times."""
SETTLE = 3.0
"""Seconds between two measurements."""
HTTP = "stack_requests_per_minute_per_address=60000"
"""All clients of this benchmark share one address, which is no limit that it measures."""
HTTPS = f"{HTTP} stack_proxy_domain=api.example.test stack_proxy_internal_authority=true"
PASSWORD = "correct horse battery"  # noqa: S105  # of new accounts on a throwaway host
SERVICES = "/api/v1/services"


@dataclass(frozen=True)
class Measured:
    """Requests of well-behaved clients."""

    seconds: list[float]
    """From the moment at which a request was due to its answer."""
    failures: Counter[str]
    """Requests that failed, by status or by the error's name."""

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """The 99th percentile (nearest rank), in seconds."""
        return sorted(self.seconds)[math.ceil(len(self.seconds) * 0.99) - 1]


class WellBehaved:
    """Clients that send requests at a fixed rate and repeat none: reads, quotes and registrations."""

    def __init__(self, target: Target) -> None:
        headers = {"Host": target.host, "Accept-Encoding": "gzip, deflate"}
        if target.domain:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            self._http: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
                target.address,
                target.port,
                maxsize=THREADS,
                retries=False,
                timeout=PATIENCE,
                headers=headers,
                cert_reqs="CERT_NONE",
                assert_hostname=False,
                server_hostname=target.domain,
            )
        else:
            self._http = urllib3.HTTPConnectionPool(
                target.address, target.port, maxsize=THREADS, retries=False, timeout=PATIENCE, headers=headers
            )
        answer = self._http.request("GET", SERVICES)
        if answer.status != 200:  # noqa: PLR2004
            raise RuntimeError(f"{SERVICES} answers {answer.status}: {answer.data!r}")
        self._order = {"service_id": answer.json()["items"][0]["id"], "square_metres": 60, "rooms": 3, "hours": 2}

    def work(self, seconds: float, rate: float = RATE, until: Callable[[], bool] = lambda: False) -> Measured:
        """Send requests at a rate for so many seconds, or until something is so, and wait for their answers."""
        begun, sent = time.monotonic(), []
        with ThreadPoolExecutor(THREADS) as threads:
            for number in range(round(seconds * rate)):
                if until():
                    break
                due = begun + number / rate
                time.sleep(max(0.0, due - time.monotonic()))
                sent.append(threads.submit(self._send, number, due))
        return _measured(sent)

    def _send(self, number: int, due: float) -> tuple[str, float]:
        match number % 4:
            case 0:
                email = f"guest-{secrets.token_hex(8)}@example.com"
                body = {"email": email, "password": PASSWORD, "full_name": "Guest Example"}
                outcome = self._ask("POST", "/api/v1/auth/register", body, wanted=201)
            case 2:
                outcome = self._ask("POST", "/api/v1/quotes", self._order, wanted=200)
            case _:
                outcome = self._ask("GET", SERVICES if number % 4 == 1 else "/health", None, wanted=200)
        return outcome, time.monotonic() - due

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None, *, wanted: int) -> str:
        """Send one request; returns an empty text, or how it failed."""
        headers = dict(self._http.headers) | {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            answer = self._http.request(method, path, body=content, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        return "" if answer.status == wanted else str(answer.status)


def _measured(sent: list[Future[tuple[str, float]]]) -> Measured:
    answers = [each.result() for each in sent]
    return Measured([seconds for _, seconds in answers], Counter(outcome for outcome, _ in answers if outcome))


@dataclass(frozen=True)
class Row:
    """What one kind did to the others."""

    kind: str
    measured: Measured
    outcomes: Counter[str]
    """Of the clients that misbehaved."""


def beside(kind: str, target: Target, good: WellBehaved, seconds: float) -> Row:
    """Let well-behaved clients work while clients of one kind misbehave."""
    rude = rude_clients.start(kind, target, seconds=seconds)
    time.sleep(1)  # until it has started
    measured = good.work(seconds - 1)
    return Row(kind, measured, rude.outcomes())


def look(name: str, kinds: list[str], target: Target, seconds: float) -> tuple[float, list[Row]]:
    """Measure calm times and each kind; prints the table's rows and returns the calm p99 with the rows."""
    good = WellBehaved(target)
    good.work(5)
    calm = good.work(seconds * 2)
    print(
        f"| {name}, calm | {sum(calm.failures.values())} | {calm.median * 1000:.0f} / {calm.p99 * 1000:.0f} | 1.0 | |"
    )
    rows = []
    for kind in kinds:
        time.sleep(SETTLE)
        row = beside(kind, target, good, seconds)
        failed = ", ".join(f"{outcome}: {times}" for outcome, times in row.measured.failures.items()) or "0"
        met = ", ".join(f"{outcome}: {times}" for outcome, times in row.outcomes.items())
        print(f"| {kind} | {failed} | {_milliseconds(row.measured)} | {row.measured.p99 / calm.p99:.1f} | {met} |")
        rows.append(row)
    return calm.p99, rows


def _milliseconds(measured: Measured) -> str:
    return f"{measured.median * 1000:.0f} / {measured.p99 * 1000:.0f}"


def main() -> int:
    """Measure, print the table and the targets; returns the exit code."""
    verdict, found = Verdict(), []
    seconds = rude_clients.SECONDS
    play(ROOT, "site.yml", "--extra-vars", HTTP)
    print("| clients that misbehave | failed of others | p50 / p99 of others, ms | p99, of calm | what they met |")
    print("|---|---|---|---|---|")
    try:
        found.append(look("HTTP", list(rude_clients.PLAIN), Target(address(), 80), seconds))
        play(ROOT, "site.yml", "--extra-vars", HTTPS)
        target = Target(address(), 443, "api.example.test")
        found.append(look("HTTPS", list(rude_clients.TLS), target, seconds))
    finally:
        play(ROOT, "site.yml")
    for calm, rows in found:
        for row in rows:
            verdict.below(f"requests of others that failed beside {row.kind}", sum(row.measured.failures.values()), 1)
            verdict.below(f"p99 of others beside {row.kind}, of calm", row.measured.p99 / calm, MOST)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
