"""The shared answer: computed once however many ask, never outdated after a change, whatever Redis does."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis as Client

from app.kit.cache import Cache
from app.kit.cached import Cached, Lifetimes
from app.settings import Settings
from tests.app.conftest import Redis

QUICK = Lifetimes(fresh=0.1, behind=0.2, patience=0.05, shared=60, stale=600, lock=10, wait=0.5)


class Source:
    """What the content is made of; counts how often it is asked."""

    def __init__(self, text: str = "one", delay: float = 0.0) -> None:
        self.text = text
        self.delay = delay
        self.computed = 0
        self.asked = asyncio.Event()
        self.fails = False

    async def __call__(self) -> bytes:
        """Compute: read first, then take a while."""
        self.computed += 1
        self.asked.set()
        text = self.text
        await asyncio.sleep(self.delay)
        if self.fails:
            raise RuntimeError("the source is away")
        return text.encode()


@asynccontextmanager
async def replica(
    url: str, source: Callable[[], Awaitable[bytes]], lifetimes: Lifetimes | None = QUICK
) -> AsyncIterator[Cached]:
    """A process of its own, as far as Redis can tell."""
    cache = Cache(Settings(secret_key="s" * 32, canary_token="c" * 32, redis_url=url))
    cached = Cached("test", cache, source, lifetimes=lifetimes)
    try:
        yield cached
    finally:
        await cached.close()
        await cache.close()


async def content(cached: Cached) -> str:
    return (await cached.get()).content.decode()


async def eventually(cached: Cached, expected: str, within: float = 3.0) -> float:
    """Ask until it is there; returns the seconds it took."""
    started = time.monotonic()
    while await content(cached) != expected:
        assert time.monotonic() - started < within
        await asyncio.sleep(0.01)
    return time.monotonic() - started


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}"


def test_a_stampede_computes_once(redis: Redis) -> None:
    async def scene() -> None:
        source = Source(delay=0.1)
        async with replica(redis.url, source) as cached:
            answers = await asyncio.gather(*(cached.get() for _ in range(100)))
            assert {answer.content for answer in answers} == {b"one"}
            assert source.computed == 1

    asyncio.run(scene())


def test_a_stampede_on_two_replicas_computes_once(redis: Redis) -> None:
    async def scene() -> None:
        source = Source(delay=0.2)
        async with replica(redis.url, source) as one, replica(redis.url, source) as other:
            answers = await asyncio.gather(*(each.get() for each in (one, other) for _ in range(100)))
            assert len({answer.etag for answer in answers}) == 1
            assert source.computed == 1

    asyncio.run(scene())


def test_a_second_replica_takes_what_the_first_has_computed(redis: Redis) -> None:
    async def scene() -> None:
        first, second = Source("one"), Source("other")
        async with replica(redis.url, first) as one, replica(redis.url, second) as other:
            assert await content(one) == "one"
            await asyncio.sleep(0.1)
            assert await content(other) == "one"
            assert second.computed == 0

    asyncio.run(scene())


def test_a_replica_whose_competitor_dies_while_computing_computes_itself(redis: Redis) -> None:
    async def scene() -> None:
        slow = Source("never", delay=60)
        source = Source()
        async with replica(redis.url, slow) as dying, replica(redis.url, source) as cached:
            task = asyncio.create_task(dying.get())
            await asyncio.sleep(0.1)
            started = time.monotonic()
            assert await content(cached) == "one"
            assert 0.3 < time.monotonic() - started < 2
            task.cancel()

    asyncio.run(scene())


def test_the_tag_is_of_the_content(redis: Redis) -> None:
    async def scene() -> None:
        source = Source()
        async with replica(redis.url, source) as cached:
            first = await cached.get()
            await cached.invalidate()
            assert (await cached.get()).etag == first.etag
            source.text = "two"
            await cached.invalidate()
            assert (await cached.get()).etag != first.etag
            assert first.etag.startswith('"')

    asyncio.run(scene())


def test_a_change_is_seen_here_at_once_and_elsewhere_soon(redis: Redis) -> None:
    async def scene() -> None:
        source = Source()
        usual = Lifetimes()
        async with replica(redis.url, source, usual) as here, replica(redis.url, source, usual) as there:
            assert await content(here) == await content(there) == "one"
            source.text = "two"
            await here.invalidate()
            assert await content(here) == "two"
            assert await eventually(there, "two") < usual.behind + 0.5
            source.text = "three"
            await there.invalidate()
            await asyncio.sleep(usual.behind)
            # Nobody has asked for a while: the answer is new nevertheless.
            assert await content(here) == "three"

    asyncio.run(scene())


def test_a_computation_from_before_a_change_never_wins(redis: Redis) -> None:
    async def scene() -> None:
        source = Source("old", delay=0.3)
        async with replica(redis.url, source) as slow, replica(redis.url, source) as other:
            before = asyncio.create_task(slow.get())
            await source.asked.wait()
            source.text, source.delay = "new", 0.0
            await slow.invalidate()
            assert await content(slow) == "new"
            assert (await before).content == b"old"  # asked before the change, answered from before the change
            assert await content(slow) == "new"
            assert await content(other) == "new"
            await asyncio.sleep(0.3)
            assert await content(slow) == await content(other) == "new"

    asyncio.run(scene())


def test_a_computation_elsewhere_from_before_a_change_does_not_last(redis: Redis) -> None:
    async def scene() -> None:
        source = Source("old", delay=0.3)
        async with replica(redis.url, source) as here, replica(redis.url, source) as there:
            before = asyncio.create_task(there.get())
            await asyncio.sleep(0.1)
            source.text, source.delay = "new", 0.0
            await here.invalidate()
            await before
            assert await content(here) == "new"
            assert await eventually(there, "new") < QUICK.behind + 0.5
            await asyncio.sleep(0.3)
            assert await content(here) == await content(there) == "new"

    asyncio.run(scene())


@pytest.mark.alone
def test_what_is_stale_is_served_while_it_is_computed_anew(redis: Redis) -> None:
    async def scene() -> None:
        lifetimes = Lifetimes(fresh=0.1, behind=5, patience=0.05, shared=0.3, stale=600, lock=10, wait=0.5)
        source = Source()
        async with replica(redis.url, source, lifetimes) as cached:
            assert await content(cached) == "one"
            await asyncio.sleep(0.4)
            source.text, source.delay = "two", 0.5
            longest = 0.0
            for _ in range(50):
                started = time.monotonic()
                await cached.get()
                longest = max(longest, time.monotonic() - started)
                await asyncio.sleep(0.01)
            assert longest < 0.2
            await eventually(cached, "two")
            assert source.computed == 2

    asyncio.run(scene())


def test_a_replica_that_starts_serves_what_is_stale_in_redis(redis: Redis) -> None:
    async def scene() -> None:
        lifetimes = Lifetimes(fresh=0.1, behind=0.2, patience=0.05, shared=1.0, stale=600, lock=10, wait=0.5)
        async with replica(redis.url, Source("stale"), lifetimes) as first:
            assert await content(first) == "stale"
            await asyncio.sleep(1.2)
        source = Source("new", delay=2)
        async with replica(redis.url, source, lifetimes) as started, replica(redis.url, source, lifetimes) as loser:
            since = time.monotonic()
            assert await content(started) == await content(loser) == "stale"
            assert time.monotonic() - since < 1.5
            await eventually(started, "new")
            assert source.computed == 1  # in a second what is shared is stale, and may be computed, again
            await eventually(loser, "new")

    asyncio.run(scene())


def test_while_the_source_is_away_the_last_content_is_served(redis: Redis) -> None:
    async def scene() -> None:
        lifetimes = Lifetimes(fresh=0.1, behind=0.2, patience=0.05, shared=0.1, stale=1.0, lock=0.1, wait=0.1)
        source = Source()
        async with replica(redis.url, source, lifetimes) as cached:
            await cached.get()
            source.fails = True
            await asyncio.sleep(0.5)
            for _ in range(100):
                assert await content(cached) == "one"
            await asyncio.sleep(1.0)
            with pytest.raises(RuntimeError, match="the source is away"):
                await cached.get()
            source.fails = False
            assert await content(cached) == "one"

    asyncio.run(scene())


def test_a_failure_reaches_all_who_wait_and_is_not_kept(redis: Redis) -> None:
    async def scene() -> None:
        source = Source(delay=0.05)
        source.fails = True
        async with replica(redis.url, source) as cached:
            outcomes = await asyncio.gather(*(cached.get() for _ in range(20)), return_exceptions=True)
            assert all(isinstance(outcome, RuntimeError) for outcome in outcomes)
            assert source.computed == 1
            source.fails = False
            assert await content(cached) == "one"

    asyncio.run(scene())


def test_who_gives_up_takes_nothing_from_the_others(redis: Redis) -> None:
    async def scene() -> None:
        source = Source(delay=0.2)
        async with replica(redis.url, source) as cached:
            impatient = asyncio.create_task(cached.get())
            patient = asyncio.create_task(cached.get())
            await asyncio.sleep(0.1)
            impatient.cancel()
            assert (await patient).content == b"one"
            assert source.computed == 1

    asyncio.run(scene())


def test_a_frozen_redis_costs_little_and_no_error(redis: Redis) -> None:
    async def scene() -> None:
        source = Source()
        async with replica(redis.url, source) as warm, replica(redis.url, source) as cold:
            await warm.get()
            redis.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.3)
            started = time.monotonic()
            assert await content(warm) == "one"
            assert time.monotonic() - started < 1
            started = time.monotonic()
            answers = await asyncio.gather(*(cold.get() for _ in range(100)))
            assert {answer.content for answer in answers} == {b"one"}
            assert time.monotonic() - started < 6
            source.text = "two"
            started = time.monotonic()
            await warm.invalidate()
            assert await content(warm) == "two"
            assert time.monotonic() - started < 6

    asyncio.run(scene())


def test_a_change_during_a_freeze_is_told_when_redis_is_back(redis: Redis) -> None:
    async def scene() -> None:
        source = Source()
        async with replica(redis.url, source) as here, replica(redis.url, source) as there:
            assert await content(here) == await content(there) == "one"
            redis.process.send_signal(signal.SIGSTOP)
            source.text = "two"
            await here.invalidate()
            assert await content(here) == "two"
            redis.process.send_signal(signal.SIGCONT)
            # Redis still holds "one", as fresh; whoever made the change does not believe it.
            for _ in range(20):
                assert await content(here) == "two"
                await asyncio.sleep(0.02)
            await eventually(there, "two", within=12)

    asyncio.run(scene())


def test_without_redis_everything_works(redis: Redis) -> None:
    async def scene() -> None:
        source = Source()
        async with replica(closed_port(), source) as cached:
            await asyncio.gather(*(cached.get() for _ in range(100)))
            assert source.computed == 1
            source.text = "two"
            await cached.invalidate()
            assert await content(cached) == "two"
            source.text = "three"
            await eventually(cached, "three", within=1)

    redis.process.send_signal(signal.SIGTERM)
    asyncio.run(scene())


def test_redis_losing_everything_is_not_noticed(redis: Redis) -> None:
    async def scene() -> None:
        source = Source()
        async with replica(redis.url, source) as here, replica(redis.url, source) as there:
            await here.get()
            client = Client.from_url(redis.url)
            await client.flushall()
            await client.aclose()
            source.text = "two"
            await eventually(here, "two")
            await eventually(there, "two")

    asyncio.run(scene())


def test_all_that_is_kept_in_redis_expires_except_the_generation(redis: Redis) -> None:
    async def scene() -> None:
        async with replica(redis.url, Source()) as cached:
            await cached.get()
            await asyncio.sleep(0.1)
            await cached.invalidate()
            await cached.get()
            await asyncio.sleep(0.3)
            await cached.get()
            await asyncio.sleep(0.1)
        client = Client.from_url(redis.url, decode_responses=True)
        keys = [str(key) async for key in client.scan_iter()]
        lasting = [key for key in keys if await client.ttl(key) < 0]
        await client.aclose()
        assert lasting == ["cached:test:generation"]
        assert len([key for key in keys if key.endswith(":content")]) == 1

    asyncio.run(scene())
