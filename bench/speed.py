"""How much of the bare framework's speed is left when the whole application answers.

`python -m bench.speed`: rounds in turn against a bare FastAPI route and against reads of the API, each server one
process of the same set-up, on the same cores. Ends with an error when a target is missed.
"""

import statistics
import sys
from dataclasses import dataclass, field

from app.seed import PASSWORD
from bench.houses import bare, company, log_in
from bench.load import closed_loop, percentile, request, run
from bench.report import Verdict

ROUNDS = 7
SECONDS = 2.0  # of each round
WARM_UP = 1.0  # seconds
CONNECTIONS = 16


@dataclass
class Subject:
    """A route under measurement."""

    name: str
    port: int
    data: bytes
    """Of the request."""
    target: float | None = None
    """Share of the bare route's rate that it must reach."""
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def round(self, seconds: float) -> None:
        """Send requests for so long."""
        result = run(closed_loop(self.port, lambda: self.data, connections=CONNECTIONS, seconds=seconds))
        result.require_good(self.name)
        self.rates.append(result.rate)
        self.latencies += result.good()


def main() -> int:
    """Measure; returns the exit code."""
    with bare() as bare_port, company() as port:
        token = log_in(port, "client-1@example.com", PASSWORD)
        alone = Subject("bare FastAPI route", bare_port, request("GET", "/bare"))
        subjects = [
            Subject("catalogue", port, request("GET", "/api/v1/services"), 0.50),
            Subject("own bookings", port, request("GET", "/api/v1/bookings", token=token), 0.25),
            Subject("own account", port, request("GET", "/api/v1/users/me", token=token)),
        ]
        for each in (alone, *subjects):
            each.round(WARM_UP)
            each.rates, each.latencies = [], []
        for _ in range(ROUNDS):
            for each in (alone, *subjects):
                each.round(SECONDS)
    verdict = Verdict()
    print(f"{'route':<20} {'requests/s':>10} {'p99 ms':>8} {'of bare':>8}")
    for each in (alone, *subjects):
        # Each round is compared to the bare one just before it, so that both meet the same neighbours.
        share = statistics.median(mine / bare for mine, bare in zip(each.rates, alone.rates, strict=True))
        p99 = percentile(each.latencies, 0.99) * 1000
        print(f"{each.name:<20} {statistics.median(each.rates):>10.0f} {p99:>8.1f} {share:>8.0%}")
        if each.target is not None:
            verdict.at_least(f"{each.name}: share of the bare route's rate", share, each.target)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
