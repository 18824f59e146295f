"""General limits: cheap and approximate, never too generous in one process, shared when Redis is there."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Scope

from app.kit.addresses import subscriber
from app.kit.cache import Cache
from app.kit.problems import TooManyRequests
from app.kit.throttle import WINDOW, Exchange, Standing, Throttle, Throttles, headers
from app.settings import Settings
from tests.app.conftest import Redis

START = 1_000_020.0  # seconds; the start of a window


def replica(now: list[float]) -> Throttles:
    return Throttles(per_address=100, per_account=3, clock=lambda: now[0])


def with_cache(url: str, scene: Callable[[Cache], Awaitable[None]]) -> None:
    async def run() -> None:
        cache = Cache(Settings(secret_key="s" * 32, canary_token="c" * 32, redis_url=url))
        await scene(cache)
        await cache.close()

    asyncio.run(run())


def test_a_window_lets_through_the_limit_and_the_next_one_begins_anew() -> None:
    throttle = Throttle("test", 2)
    standings = [throttle.hit("ann", START + second) for second in (0, 10, 20)]
    assert [(each.remaining, each.reset, each.refused) for each in standings] == [
        (1, 60, False),
        (0, 50, False),
        (0, 40, True),
    ]
    assert not throttle.hit("bob", START + 20).refused
    assert not throttle.hit("ann", START + WINDOW).refused


def test_memory_is_bounded_and_the_active_are_kept() -> None:
    throttle = Throttle("test", 2, subjects=100)
    for number in range(1000):
        throttle.hit("active", START)
        throttle.hit(str(number), START)
    assert throttle.hit("active", START).refused
    assert len(throttle._counts) == 100


def test_what_an_account_sends_counts_whatever_its_address() -> None:
    throttles = replica([START])
    for _ in range(3):
        throttles.by_account({}, "ann")
    with pytest.raises(TooManyRequests) as refused:
        throttles.by_account({}, "ann")
    assert refused.value.headers == {"Retry-After": "60"}
    throttles.by_account({}, "bob")


def test_headers_are_structured_fields_of_all_limits() -> None:
    scope: Scope = {"client": ("10.0.0.1", 1)}
    throttles = replica([START + 15])
    throttles.by_address(scope)
    throttles.by_account(scope, "ann")
    assert dict(headers(scope["throttle.standings"])) == {
        b"ratelimit-policy": b'"address";q=100;w=60, "account";q=3;w=60',
        b"ratelimit": b'"address";r=99;t=45, "account";r=2;t=45',
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a socket", "a socket"),
    ],
)
def test_addresses_are_grouped_by_subscriber(address: str, expected: str) -> None:
    assert subscriber(address) == expected


def hits(throttles: Throttles, number: int) -> list[Standing]:
    return [throttles.accounts.hit("ann", START) for _ in range(number)]


def test_replicas_limit_together_after_an_exchange(redis: Redis) -> None:
    async def scene(cache: Cache) -> None:
        now = [START]
        one, two = replica(now), replica(now)
        hits(one, 2)
        hits(two, 1)
        await Exchange(cache, one).round()
        await Exchange(cache, two).round()
        assert hits(two, 1)[0].refused
        await Exchange(cache, two).round()
        assert not hits(one, 1)[0].refused  # has not heard of the third yet
        await Exchange(cache, one).round()
        assert hits(one, 1)[0].refused
        for key in await cache.run(lambda redis: redis.keys("*")):
            assert "ann" not in key
            assert await cache.run(lambda redis, key=key: redis.get(key)) == "4"  # type: ignore[misc]
            assert 0 < await cache.run(lambda redis, key=key: redis.ttl(key)) <= 2 * WINDOW  # type: ignore[misc]

    with_cache(redis.url, scene)


def test_without_redis_the_process_limits_alone() -> None:
    async def scene(cache: Cache) -> None:
        throttles = replica([START])
        hits(throttles, 2)
        assert await Exchange(cache, throttles).round() is False
        assert [each.refused for each in hits(throttles, 2)] == [False, True]

    with_cache("redis://127.0.0.1:1", scene)


def test_what_was_counted_in_a_past_window_teaches_nothing() -> None:
    throttle = Throttle("test", 2)
    throttle.hit("ann", START)
    past = throttle.window
    throttle.hit("ann", START + WINDOW)
    throttle.learn(past, {"ann": 50})
    assert throttle.hit("ann", START + WINDOW).remaining == 0
    assert throttle.hit("ann", START + WINDOW).refused
