"""Redis, which is never required: every call is short, and while it is away nobody waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.kit.breaker import Breaker, BreakerOpenError
from app.settings import Settings

T = TypeVar("T")

log = structlog.get_logger(__name__)

SOCKET_TIMEOUT = 1.0  # seconds to connect, and for each answer
CONNECTIONS = 32


class CacheUnavailableError(Exception):
    """Redis is away; do without."""


class Cache:
    """A Redis client with explicit time-outs behind a circuit breaker."""

    def __init__(self, settings: Settings, breaker: Breaker | None = None) -> None:
        self.breaker = breaker or Breaker()
        self._timeout = settings.redis_timeout
        options: dict[str, Any] = {}
        if settings.redis_password is not None:
            options["password"] = settings.redis_password.get_secret_value()
        socket_timeout = min(SOCKET_TIMEOUT, settings.redis_timeout)
        pool = BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=CONNECTIONS,
            timeout=socket_timeout,
            socket_connect_timeout=socket_timeout,
            socket_timeout=socket_timeout,
            # Once more when a pooled connection turns out to be closed; never after a time-out.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            decode_responses=True,
            **options,
        )
        self._redis: Redis = Redis.from_pool(pool)

    async def run(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Run `command(redis)`.

        Raises:
            CacheUnavailableError: Redis failed, did not answer in time, or is being left alone.
        """
        try:
            with self.breaker.guard():
                async with asyncio.timeout(self._timeout):
                    return await command(self._redis)
        except BreakerOpenError as error:
            raise CacheUnavailableError from error
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis_unavailable", error=type(error).__name__, breaker=self.breaker.state)
            raise CacheUnavailableError from error

    async def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            await self.run(lambda redis: redis.ping())
        except CacheUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
