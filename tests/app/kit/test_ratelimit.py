"""Rate limits: shared through Redis, kept in the process without it, bounded either way."""

import asyncio
from collections.abc import Awaitable, Callable
from operator import methodcaller

import pytest

from app.kit.cache import Cache
from app.kit.problems import TooManyRequests
from app.kit.ratelimit import Limit, RateLimiter
from app.settings import Settings
from tests.app.conftest import Redis

LIMIT = Limit("test", attempts=2, period=60)
START = 1_000_020.0  # seconds; the start of a window of a minute
NO_REDIS = "redis://127.0.0.1:1"


def with_cache(url: str, scene: Callable[[Cache], Awaitable[None]]) -> None:
    async def run() -> None:
        cache = Cache(Settings(secret_key="s" * 32, canary_token="c" * 32, redis_url=url))
        await scene(cache)
        await cache.close()

    asyncio.run(run())


async def counts(first: RateLimiter, second: RateLimiter, now: list[float]) -> None:
    """Two attempts pass, the third does not until one is given back or the window ends."""
    ticket = await first.take(LIMIT, "ann", "10.0.0.1")
    await second.take(LIMIT, "ann", "10.0.0.1")
    now[0] += 10
    with pytest.raises(TooManyRequests) as raised:
        await first.take(LIMIT, "ann", "10.0.0.1")
    assert raised.value.headers == {"Retry-After": "50"}
    await first.take(LIMIT, "ann", "10.0.0.2")
    await first.give_back(LIMIT, ticket)
    await first.give_back(LIMIT, ticket)
    await second.take(LIMIT, "ann", "10.0.0.1")
    now[0] += 50
    await second.take(LIMIT, "ann", "10.0.0.1")


def test_two_replicas_count_together_in_redis(redis: Redis) -> None:
    async def scene(cache: Cache) -> None:
        now = [START]
        await counts(RateLimiter(cache, clock=lambda: now[0]), RateLimiter(cache, clock=lambda: now[0]), now)
        keys = await cache.run(lambda redis: redis.keys("*"))
        assert keys
        for key in keys:
            assert "ann" not in key
            assert 0 < await cache.run(methodcaller("ttl", key)) <= LIMIT.period

    with_cache(redis.url, scene)


def test_without_redis_the_process_counts() -> None:
    async def scene(cache: Cache) -> None:
        now = [START]
        limiter = RateLimiter(cache, clock=lambda: now[0])
        await counts(limiter, limiter, now)

    with_cache(NO_REDIS, scene)


def test_counting_in_the_process_forgets_the_oldest() -> None:
    async def scene(cache: Cache) -> None:
        limiter = RateLimiter(cache, local_keys=100)
        for number in range(1000):
            await limiter.take(LIMIT, str(number))
        assert len(limiter._local) == 100

    with_cache(NO_REDIS, scene)
