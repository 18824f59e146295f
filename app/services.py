"""Everything that lives as long as the application, and how a route gets at it."""

from typing import Annotated, cast

from fastapi import Depends, Request

from app.accounts.service import Accounts
from app.health.service import Health
from app.kit.cache import Cache
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.metrics import Metrics
from app.kit.ratelimit import RateLimiter
from app.kit.tokens import Tokens
from app.kit.watchdog import LoopWatchdog
from app.settings import Settings


class Services:
    """Made when the application starts, closed when it ends."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.database = Database(settings)
        self.hasher = PasswordHasher(settings)
        self.cache = Cache(settings)
        self.tokens = Tokens(settings)
        self.watchdog = LoopWatchdog(settings.loop_watchdog_seconds)
        self.accounts = Accounts(
            settings,
            database=self.database,
            hasher=self.hasher,
            limiter=RateLimiter(self.cache),
            tokens=self.tokens,
        )
        self.health = Health(self.database, self.cache)
        for name, pool in (
            ("hash", self.hasher.pool),
            ("read", self.database.readers),
            ("write", self.database.writers),
        ):
            metrics.watch_pool(name, pool)
        metrics.watch_breaker(self.cache.breaker)
        metrics.watch_loop(self.watchdog)
        metrics.watch_logs()

    async def close(self) -> None:
        """Let go of everything."""
        self.watchdog.stop()
        self.hasher.close()
        self.database.close()
        await self.cache.close()


async def services(request: Request) -> Services:
    """The services of the application that the request came to."""
    return cast("Services", request.app.state.services)


InServices = Annotated[Services, Depends(services)]


def address(request: Request) -> str:
    """The client's address, as far as the proxy tells it."""
    return request.client.host if request.client else "unknown"
