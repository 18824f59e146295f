"""A rendered answer that everybody asks for: kept in the process, shared through Redis, made anew by one.

Three layers. In the process: returned without any waiting; looked at again every second, behind the requests.
In Redis: shared by all replicas. And the computation, done by one task of a process and, as long as Redis
answers, by one process of all. Redis is never required, and never waited for longer than its time-outs.

A change makes a new *generation*, a random token in Redis that is part of the other keys' names. A computation
that began before the change stores its result under the old generation's name, where nobody looks any more.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis

from app.kit.cache import Cache, CacheUnavailableError

T = TypeVar("T")

log = structlog.get_logger(__name__)

RETRY = 1.0  # seconds between attempts to tell Redis about a change


@dataclass(frozen=True, slots=True)
class Rendered:
    """A content and its entity tag."""

    content: bytes
    etag: str
    """Strong, in quotation marks, made of the content: the same in all replicas."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long what may be used; seconds."""

    fresh: float = 1.0
    """In the process without asking Redis."""
    behind: float = 2.0
    """In the process while a request's background task asks Redis: how old an answer is at most."""
    patience: float = 0.25
    """Waiting for Redis or the computation although there is an old content to serve."""
    shared: float = 60.0
    """In Redis without computing anew; bounds what a change that Redis never heard of can do."""
    stale: float = 600.0
    """In Redis and in the process while computing anew, or while that fails."""
    lock: float = 10.0
    """For which one replica computes and the others do not; at least as long as a computation takes."""
    wait: float = 1.0
    """Waiting for another replica's computation when there is nothing to serve."""


class Cached:
    """One such answer."""

    def __init__(
        self,
        name: str,
        cache: Cache,
        compute: Callable[[], Awaitable[bytes]],
        *,
        lifetimes: Lifetimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            name: the same in all replicas, unique among all Cached objects.
            cache: Redis.
            compute: makes the content, UTF-8; must bound its own running time.
            lifetimes: other than the usual ones.
            clock: seconds that only grow.
        """
        self._cache = cache
        self._compute = compute
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._prefix = f"cached:{name}"
        self._entry: Rendered | None = None
        self._loaded_at = 0.0
        self._due = 0.0
        self._loading: asyncio.Task[Rendered] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        # Loads and computations are numbered as they begin; the result of an earlier one never replaces a later one's.
        self._begun = 0
        self._adopted = 0
        # Changes made here, and how many of them Redis knows.
        self._changes = 0
        self._told = 0

    async def get(self) -> Rendered:
        """The content, at most `behind` seconds older than the last change unless something fails.

        Raises:
            Exception: whatever `compute` raised, when there is no content at all to serve instead.
        """
        now = self._clock()
        entry = self._entry
        if entry is not None and now < self._due:
            return entry
        loading = self._load_once()
        age = now - self._loaded_at
        if entry is None or age >= self._lifetimes.stale:
            return await asyncio.shield(loading)
        if age >= self._lifetimes.behind:
            await asyncio.wait([loading], timeout=self._lifetimes.patience)
        return self._entry or entry

    async def invalidate(self) -> None:
        """What the content is made of has changed: call it after the commit.

        From now on `get` returns the new content in this process; in the others within `behind` seconds. When
        Redis does not answer it is told later, and not read here until then.
        """
        self._changes += 1
        self._adopted = self._begun
        self._entry = None
        self._loading = None
        try:
            await self._tell()
        except CacheUnavailableError:
            log.info("cached_change_not_shared_yet", name=self._prefix)
        finally:
            if self._told < self._changes and (self._telling is None or self._telling.done()):
                self._telling = self._spawn(self._tell_later())

    async def close(self) -> None:
        """End what runs in the background."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _load_once(self) -> asyncio.Task[Rendered]:
        if self._loading is None or self._loading.done():
            self._loading = self._spawn(self._load())
        return self._loading

    async def _load(self) -> Rendered:
        try:
            return await self._find(self._number())
        except Exception:
            # Whatever there is goes on being served, and the next attempt is a while away.
            self._due = self._clock() + self._lifetimes.fresh
            raise

    async def _find(self, number: int) -> Rendered:
        if self._told < self._changes:
            # Redis may still hold what was right before the change.
            return await self._make(number)
        generation = None
        try:
            generation, content, age = await self._cache.run(self._read)
            if content is not None and age < self._lifetimes.shared:
                return self._adopt(number, content)
            chosen = await self._cache.run(partial(self._lock, generation=generation))
            if content is not None:
                stale = self._adopt(number, content)
                if chosen:
                    self._spawn(self._make(self._number(), generation))
                return stale
            if not chosen and (content := await self._another(generation)) is not None:
                return self._adopt(number, content)
        except CacheUnavailableError:
            generation = None
        return await self._make(number, generation)

    async def _make(self, number: int, generation: str | None = None) -> Rendered:
        """Compute; the result is shared behind the back of whoever waits for it."""
        content = await self._compute()
        if generation is not None:
            self._spawn(self._share(generation, content))
        return self._adopt(number, content)

    def _adopt(self, number: int, content: bytes) -> Rendered:
        entry = self._entry
        if entry is None or entry.content != content:
            entry = Rendered(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        if number > self._adopted:
            self._adopted = number
            self._entry = entry
            self._loaded_at = self._clock()
            self._due = self._loaded_at + self._lifetimes.fresh
        return entry

    async def _read(self, redis: Redis) -> tuple[str, bytes | None, float]:
        """Generation, content and its age in seconds; the age comes from Redis, so clocks need not agree."""
        key = f"{self._prefix}:generation"
        found = await redis.get(key)
        if found is None:
            await redis.set(key, secrets.token_hex(8), nx=True)
            found = await redis.get(key)
        generation = str(found)
        pipeline = redis.pipeline(transaction=False)
        pipeline.get(self._content_key(generation))
        pipeline.pttl(self._content_key(generation))
        content, remaining = await pipeline.execute()
        if content is None:
            return generation, None, 0.0
        return generation, content.encode(), self._lifetimes.stale - remaining / 1000

    async def _lock(self, redis: Redis, generation: str) -> bool:
        """Whether this process is the one to compute: until it has shared the result, or for so long if it fails."""
        milliseconds = round(self._lifetimes.lock * 1000)
        return bool(await redis.set(self._lock_key(generation), "1", nx=True, px=milliseconds))

    async def _another(self, generation: str) -> bytes | None:
        """The content that another replica is computing, if it comes in time."""
        deadline = self._clock() + self._lifetimes.wait
        while self._clock() < deadline:
            await asyncio.sleep(min(0.05, self._lifetimes.wait / 4))
            text = await self._cache.run(lambda redis: redis.get(self._content_key(generation)))
            if text is not None:
                return str(text).encode()
        return None

    async def _share(self, generation: str, content: bytes) -> None:
        async def store(redis: Redis) -> None:
            milliseconds = round(self._lifetimes.stale * 1000)
            await redis.set(self._content_key(generation), content.decode(), px=milliseconds)
            await redis.delete(self._lock_key(generation))

        try:
            await self._cache.run(store)
        except CacheUnavailableError:
            log.info("cached_content_not_shared", name=self._prefix)

    async def _tell(self) -> None:
        """Begin a new generation, and delete the old one's content."""
        changes = self._changes

        async def begin(redis: Redis) -> None:
            old = await redis.set(f"{self._prefix}:generation", secrets.token_hex(8), get=True)
            if old is not None:
                await redis.delete(self._content_key(str(old)))

        await self._cache.run(begin)
        self._told = max(self._told, changes)

    async def _tell_later(self) -> None:
        while self._told < self._changes:
            await asyncio.sleep(RETRY)
            try:
                await self._tell()
            except CacheUnavailableError:
                continue

    def _content_key(self, generation: str) -> str:
        return f"{self._prefix}:{generation}:content"

    def _lock_key(self, generation: str) -> str:
        return f"{self._prefix}:{generation}:lock"

    def _number(self) -> int:
        self._begun += 1
        return self._begun

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("cached_refresh_failed", name=self._prefix, error=type(error).__name__)
