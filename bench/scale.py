"""Whether lists and bookings stay as quick when a company has a thousand times the bookings.

`python -m bench.scale`: two servers, one of a company with 1 000 bookings and one with 1 000 000 (and 100 000
accounts), are asked the same in turn. Ends with an error when something takes twice as long in the large one.
"""

import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from bench.generated import AHEAD, PASSWORD, Company, generate
from bench.houses import api, empty_database, log_in
from bench.load import closed_loop, percentile, request, run
from bench.report import Verdict

SMALL = {"clients": 100, "bookings": 1_000}
LARGE = {"clients": 100_000, "bookings": 1_000_000}
ROUNDS = 10
SECONDS = 0.5  # of each round; reads
BOOKINGS = 40  # of each round
TARGET = 2.0
AFTERNOONS = (time(12), time(14))

LISTS = {
    "own bookings of a client": ("client", "/bookings?limit=10"),
    "own bookings of a cleaner": ("cleaner", "/bookings?limit=5"),
    "one booking": ("client", "/bookings/{booking}"),
    "history of a booking": ("client", "/bookings/{booking}/history"),
    "all bookings": ("manager", "/office/bookings"),
    "bookings by state": ("manager", "/office/bookings?state=completed"),
    "bookings of a cleaner": ("manager", "/office/bookings?cleaner_id={cleaner}&limit=5"),
    "bookings of a client": ("manager", "/office/bookings?client_id={client}&limit=10"),
    "bookings by name": ("manager", "/office/bookings?q=petrova-7&limit=5"),
    "bookings by reference": ("manager", "/office/bookings?q=R000000007"),
    "schedule of a day": ("manager", "/office/schedule?date={today}"),
    "accounts": ("manager", "/users"),
    "accounts by role": ("manager", "/users?role=client"),
    "accounts by name": ("manager", "/users?q=petrova-7&limit=5"),
    "audit log": ("admin", "/office/audit"),
    "notifications": ("manager", "/office/notifications?state=sent"),
    "cleaners": ("manager", "/cleaners"),
    "reviews of a cleaner": ("client", "/cleaners/{cleaner}/reviews?limit=1"),
    "free slots of two weeks": ("client", "/availability?date={today}&days=14&duration_minutes=120"),
}


@dataclass
class House:
    """A running API of one of the companies."""

    port: int
    company: Company
    tokens: dict[str, str]
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def read(self, name: str, role: str, path: str) -> None:
        """Ask for a list for a while."""
        found = {"booking": self.company.booking_id, "cleaner": self.company.cleaner_id}
        found |= {"client": self.company.client_id, "today": datetime.now(UTC).date().isoformat()}
        data = request("GET", f"/api/v1{path.format(**found)}", token=self.tokens[role])
        result = run(closed_loop(self.port, lambda: data, connections=1, seconds=SECONDS))
        result.require_good(name)
        self.latencies.setdefault(name, []).extend(result.good())

    def book(self, starts: Iterator[datetime]) -> None:
        """Book some visits, one after the other."""
        for _ in range(BOOKINGS):
            address = f"Street {uuid.uuid4()}"  # the same visit twice would be refused
            order = {"service_id": self.company.service_id, "starts_at": next(starts).isoformat(), "address": address}
            data = request("POST", "/api/v1/bookings", token=self.tokens["client"], body=order, key=str(uuid.uuid4()))
            result = run(closed_loop(self.port, lambda data=data: data, connections=1, seconds=0))  # type: ignore[misc]
            result.require_good("a booking")
            self.latencies.setdefault("to book", []).extend(result.good())


def main() -> int:
    """Measure; returns the exit code."""
    with ExitStack() as running:
        houses = []
        for size in (SMALL, LARGE):
            print(f"making {size['bookings']} bookings of {size['clients']} clients", flush=True)
            houses.append(_opened(running, size))
        starts = [_starts(), _starts()]
        for _ in range(ROUNDS):
            for name, (role, path) in LISTS.items():
                for house in houses:
                    house.read(name, role, path)
            for house, free in zip(houses, starts, strict=True):
                house.book(free)
    return _report(*houses)


def _opened(running: ExitStack, size: dict[str, int]) -> House:
    database = running.enter_context(empty_database())
    company = generate(database, **size)
    port = running.enter_context(api(database))
    return House(port, company, {role: log_in(port, email, PASSWORD) for role, email in company.emails.items()})


def _starts() -> Iterator[datetime]:
    """Times at which most cleaners are free, each day in turn."""
    today = datetime.now(UTC).date()
    while True:
        for day in range(3, AHEAD):
            for begins in AFTERNOONS:
                yield datetime.combine(today + timedelta(days=day), begins, UTC)


def _report(small: House, large: House) -> int:
    verdict = Verdict()
    print(f"\n{'p50 and p99 in ms':<28} {'1 000 bookings':>16} {'1 000 000':>16} {'ratio of p99':>13}")
    ratios = {}
    for name, few in small.latencies.items():
        many = large.latencies[name]
        ratios[name] = percentile(many, 0.99) / percentile(few, 0.99)
        shown = [f"{percentile(each, 0.5) * 1000:6.2f} {percentile(each, 0.99) * 1000:8.2f}" for each in (few, many)]
        print(f"{name:<28} {shown[0]:>16} {shown[1]:>16} {ratios[name]:>13.2f}")
    print()
    for name, ratio in ratios.items():
        verdict.below(f"{name}: p99 in the large company to that in the small one", ratio, TARGET)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
