"""Rate limits in fixed windows, counted in Redis, or in this process while Redis is away."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from app.kit.addresses import subscriber
from app.kit.cache import Cache, CacheUnavailableError
from app.kit.problems import TooManyRequests

LOCAL_KEYS = 10_000  # about 2 MB; the least recently used is forgotten first


@dataclass(frozen=True)
class Limit:
    """At most `attempts` in each window of `period` seconds."""

    name: str
    attempts: int
    period: int


class RateLimiter:
    """Counts attempts per subject (an address, an account)."""

    def __init__(self, cache: Cache, *, clock: Callable[[], float] = time.time, local_keys: int = LOCAL_KEYS) -> None:
        self._cache = cache
        self._clock = clock
        self._local_keys = local_keys
        self._local: OrderedDict[str, int] = OrderedDict()

    async def take(self, limit: Limit, *subject: str) -> str:
        """Count one attempt and return its ticket for `give_back`.

        Network addresses in the subject stand for their subscriber: of IPv6 that is a /64.

        Raises:
            TooManyRequests: it was one too many; Retry-After is the end of the window.
        """
        now = self._clock()
        window = int(now // limit.period)
        # Hashed: addresses and e-mails have no business in Redis's memory and files.
        digest = hashlib.sha256("\0".join(map(subscriber, subject)).encode()).hexdigest()[:32]
        key = f"ratelimit:{limit.name}:{window}:{digest}"
        if await self._add(key, 1, limit.period) > limit.attempts:
            raise TooManyRequests(retry_after=max(1, round((window + 1) * limit.period - now)))
        return key

    async def give_back(self, limit: Limit, ticket: str) -> None:
        """Take back an attempt that turned out not to count."""
        await self._add(ticket, -1, limit.period)

    async def _add(self, key: str, amount: int, period: int) -> int:
        async def add(redis: Redis) -> int:
            async with redis.pipeline() as pipeline:
                pipeline.incrby(key, amount)
                pipeline.expire(key, period)
                count, _ = await pipeline.execute()
                return int(count)

        try:
            return await self._cache.run(add)
        except CacheUnavailableError:
            return self._add_locally(key, amount)

    def _add_locally(self, key: str, amount: int) -> int:
        count = self._local[key] = self._local.pop(key, 0) + amount
        if len(self._local) > self._local_keys:
            self._local.popitem(last=False)
        return count
