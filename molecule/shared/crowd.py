"""Many clients at once: 100 requests a second, half of them POST, over connections that stay open, none repeated."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx
from ledger import Request, Writer

OK = 200
_ROUND = 50  # requests, of which one is a booking and two are registrations
_BOOKING, _REGISTRATIONS = 10, (20, 40)
_READS = ("/api/v1/services", "/health", "/api/v1/bookings", "/api/v1/users/me")


@dataclass
class Crowd(Writer):
    """Writes a ledger too; what is not a booking or a registration is a quote or a read."""

    rate: float = 100.0
    attempts: int = 1

    async def _send(self, client: httpx.AsyncClient, number: int) -> None:
        place = number % _ROUND
        if place == _BOOKING:
            await self._book(client, number)
        elif place in _REGISTRATIONS:
            await self._register(client, number)
        elif number % 2 == 0:
            await self._ask(client, "POST", "/api/v1/quotes", self._order)
        else:
            await self._ask(client, "GET", _READS[number // 2 % len(_READS)])

    async def _ask(self, client: httpx.AsyncClient, method: str, path: str, body: object = None) -> None:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = await client.request(method, self.url + path, json=body, headers=headers)
            outcome = str(answer.status_code)
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.requests.append(Request(began, time.monotonic(), outcome, OK))


def told(requests: list[Request]) -> str:
    """The requests in one line, for a reader."""
    failures = Counter(each.outcome for each in requests if each.failed)
    longest = max((each.ended - each.began for each in requests), default=0.0)
    how = f" ({', '.join(f'{outcome}: {times}' for outcome, times in failures.items())})" if failures else ""
    return f"{len(requests)} requests, {sum(failures.values())} failed{how}, longest answer {longest:.2f} s"


AtWork = Callable[[str], AbstractContextManager[Crowd]]
"""Lets the crowd work while something is done, which is named."""
