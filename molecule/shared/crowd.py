"""Many clients at once: half of their requests are POST, on connections that stay open, none is repeated."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ledger import OK, Request, Writer

_ROUND = 50  # requests, of which one is a booking and two are registrations
_BOOKING, _REGISTRATIONS = 10, (20, 40)
_READS = ("/api/v1/services", "/health", "/api/v1/bookings", "/api/v1/users/me")


@dataclass
class Crowd(Writer):
    """Writes a ledger too; what is not a booking or a registration is a quote or a read."""

    attempts: int = 1

    def _send(self, number: int, due: float) -> None:
        place = number % _ROUND
        if place == _BOOKING:
            self._book(number, due)
        elif place in _REGISTRATIONS:
            self._register(number, due)
        else:
            quote = number % 2 == 0
            path = "/api/v1/quotes" if quote else _READS[number // 2 % len(_READS)]
            outcome, _ = self._ask("POST" if quote else "GET", path, self._order if quote else None)
            self.requests.append(Request(due, time.monotonic(), outcome, OK))


def told(requests: list[Request]) -> str:
    """The requests in one line, for a reader."""
    failures = Counter(each.outcome for each in requests if each.failed)
    longest = max((each.ended - each.began for each in requests), default=0.0)
    how = f" ({', '.join(f'{outcome}: {times}' for outcome, times in failures.items())})" if failures else ""
    return f"{len(requests)} requests, {sum(failures.values())} failed{how}, longest answer {longest:.2f} s"


class AtWork(Protocol):
    """Lets the crowd work while something is done, which is named."""

    def __call__(self, what: str, rate: float = ...) -> AbstractContextManager[Crowd]:
        """Begin, with so many requests a second."""
