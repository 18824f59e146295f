"""General limits of requests a minute, for each client address and each account.

They keep one consumer from taking everybody's share, so they need not be exact, but every request pays for them:
a process counts in its own memory, and the replicas exchange their counts through Redis about every second.
While Redis is away each process limits alone. What must be exact (logins, registrations) uses `RateLimiter`.

Headers: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (structured fields).
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from redis.asyncio import Redis
from starlette.types import Scope

from app.kit.addresses import subscriber
from app.kit.background import Background
from app.kit.cache import Cache, CacheUnavailableError
from app.kit.problems import TooManyRequests
from app.settings import Settings

WINDOW = 60
"""Seconds. Windows begin at the full minute of everybody's clock."""
SUBJECTS = 10_000
"""Counted at the same time, about 2 MB; the one not heard of for longest is forgotten first."""
EXCHANGE = 1.0  # seconds
BATCH = 500  # counters in one message to Redis

STANDINGS = "throttle.standings"
"""Key of the ASGI scope: where the request's senders stand; its headers are made from it."""


class Standing(NamedTuple):
    """How far a subject has used up its limit."""

    name: str
    """Of the limit."""
    policy: str
    """The limit as an item of the header `RateLimit-Policy`."""
    remaining: int
    reset: int
    """Seconds until the window ends."""
    refused: bool

    def check(self) -> None:
        """Refuse the request when it is one too many.

        Raises:
            TooManyRequests: it is; Retry-After is the end of the window.
        """
        if self.refused:
            raise TooManyRequests(retry_after=self.reset)


def headers(standings: Sequence[Standing]) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """The header fields that tell a client where it stands."""
    policies = ", ".join([each.policy for each in standings])
    limits = ", ".join([f'"{each.name}";r={each.remaining};t={each.reset}' for each in standings])
    return (b"ratelimit-policy", policies.encode()), (b"ratelimit", limits.encode())


@dataclass(slots=True)
class _Count:
    """Requests of one subject in the current window."""

    seen: int = 0
    """By all replicas, as far as this process knows."""
    untold: int = 0
    """Of these, what the other replicas have not been told."""


class Throttle:
    """At most `limit` requests of each subject in each window."""

    def __init__(self, name: str, limit: int, *, subjects: int = SUBJECTS) -> None:
        self.name = name
        self.limit = limit
        self.window = 0
        """Number of the current one."""
        self._policy = f'"{name}";q={limit};w={WINDOW}'
        self._subjects = subjects
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def hit(self, subject: str, now: float) -> Standing:
        """Count a request, unless it is refused.

        Args:
            subject: who sent it.
            now: Unix time.
        """
        window, elapsed = divmod(int(now), WINDOW)
        if window != self.window:
            self.window = window
            self._counts.clear()
        count = self._counts.get(subject)
        if count is None:
            count = self._counts[subject] = _Count()
            if len(self._counts) > self._subjects:
                self._counts.popitem(last=False)
        else:
            self._counts.move_to_end(subject)
        refused = count.seen >= self.limit
        if not refused:
            count.seen += 1
            count.untold += 1
        return Standing(self.name, self._policy, max(0, self.limit - count.seen), WINDOW - elapsed, refused)

    def tell(self, most: int) -> dict[str, int]:
        """Requests, by subject, that the other replicas have not been told; from now on they have."""
        told: dict[str, int] = {}
        for subject, count in self._counts.items():
            if count.untold:
                told[subject] = count.untold
                count.untold = 0
                if len(told) == most:
                    break
        return told

    def learn(self, window: int, totals: Mapping[str, int]) -> None:
        """Take over what all replicas together have counted in a window, by subject."""
        if window != self.window:
            return
        for subject, total in totals.items():
            if count := self._counts.get(subject):
                count.seen = max(count.seen, total + count.untold)


class Throttles:
    """The limits of this process."""

    def __init__(self, *, per_address: int, per_account: int, clock: Callable[[], float] = time.time) -> None:
        self.addresses = Throttle("address", per_address)
        self.accounts = Throttle("account", per_account)
        self._clock = clock

    @classmethod
    def of(cls, settings: Settings) -> "Throttles":
        """As the settings say."""
        return cls(
            per_address=settings.requests_per_minute_per_address, per_account=settings.requests_per_minute_per_account
        )

    def by_address(self, scope: Scope) -> Standing:
        """Count a request for the client's address."""
        client = scope.get("client")
        standing = self.addresses.hit(subscriber(client[0]) if client else "unknown", self._clock())
        scope[STANDINGS] = [standing]
        return standing

    def by_account(self, scope: Scope, account_id: str) -> None:
        """Count a request for the account that sends it.

        Raises:
            TooManyRequests: it is one too many.
        """
        standing = self.accounts.hit(account_id, self._clock())
        scope.setdefault(STANDINGS, []).append(standing)
        standing.check()


class Exchange:
    """Lets replicas limit together: tells Redis what this process has counted, and learns the sums."""

    def __init__(self, cache: Cache, throttles: Throttles) -> None:
        self._cache = cache
        self._throttles = (throttles.addresses, throttles.accounts)
        self.background = Background("throttle", self.round, every=EXCHANGE)

    async def round(self) -> bool:
        """Exchange once; returns whether there is more to tell at once."""
        more = False
        for throttle in self._throttles:
            window = throttle.window
            told = throttle.tell(BATCH)
            if not told:
                continue
            try:
                # What does not reach Redis is forgotten: this process has counted it, and the window is short.
                totals = await self._cache.run(partial(_add, name=f"{throttle.name}:{window}", amounts=told))
            except CacheUnavailableError:
                return False
            throttle.learn(window, totals)
            more = more or len(told) == BATCH
        return more


async def _add(redis: Redis, *, name: str, amounts: Mapping[str, int]) -> dict[str, int]:
    """Add the amounts to the counters in Redis and return the sums."""
    async with redis.pipeline(transaction=False) as pipeline:
        for subject, amount in amounts.items():
            # Hashed: addresses and accounts have no business in Redis's memory and files.
            key = f"throttle:{name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
            pipeline.incrby(key, amount)
            pipeline.expire(key, 2 * WINDOW)
        answers = await pipeline.execute()
    return {subject: int(answers[2 * number]) for number, subject in enumerate(amounts)}
