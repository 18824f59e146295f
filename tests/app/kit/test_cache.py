"""Redis away, frozen and back: nobody waits long, and it is used again."""

import asyncio
import signal
import time

import pytest

from app.kit.breaker import Breaker, State
from app.kit.cache import Cache, CacheUnavailableError
from app.settings import Settings
from tests.app.conftest import Redis


def settings(url: str) -> Settings:
    return Settings(secret_key="s" * 32, canary_token="c" * 32, redis_url=url)


def test_a_frozen_redis_costs_little_and_then_nothing(redis: Redis) -> None:
    async def scene() -> None:
        cache = Cache(settings(redis.url), Breaker(failures=2, cooldown=0.5))
        assert await cache.ping()
        redis.process.send_signal(signal.SIGSTOP)
        for _ in range(2):
            started = time.monotonic()
            assert not await cache.ping()
            assert time.monotonic() - started < 2.5
        started = time.monotonic()
        with pytest.raises(CacheUnavailableError):
            await cache.run(lambda redis: redis.get("x"))
        assert time.monotonic() - started < 1
        redis.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.6)
        assert await cache.ping()
        assert cache.breaker.state is State.CLOSED
        await cache.close()

    asyncio.run(scene())


def test_many_at_once_before_a_frozen_redis_all_give_up_in_time(redis: Redis) -> None:
    async def scene() -> None:
        cache = Cache(settings(redis.url))
        redis.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        assert not any(await asyncio.gather(*(cache.ping() for _ in range(200))))
        assert time.monotonic() - started < 4
        await cache.close()

    asyncio.run(scene())


def test_a_restarted_redis_is_not_even_noticed(redis: Redis) -> None:
    async def scene() -> None:
        cache = Cache(settings(redis.url))
        assert await cache.ping()
        # What a restart leaves behind: a pooled connection that the other side has closed.
        await cache.run(lambda redis: redis.client_kill_filter(_type="normal", skipme=False))
        assert await cache.ping()
        assert cache.breaker.state is State.CLOSED
        await cache.close()

    asyncio.run(scene())


def test_no_redis_at_all() -> None:
    async def scene() -> None:
        cache = Cache(settings("redis://127.0.0.1:1"))
        assert [await cache.ping() for _ in range(4)] == [False] * 4
        assert cache.breaker.state is State.OPEN
        await cache.close()

    asyncio.run(scene())
