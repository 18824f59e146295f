"""The services that live as long as the application, and the dependencies that give routes access to them."""

import gc
import os
import signal
from typing import Annotated, cast

from fastapi import Depends, Request

from app.accounts import housekeeping
from app.accounts.service import Accounts
from app.bookings.service import Bookings
from app.catalog.service import Catalog
from app.health.service import Health
from app.kit import audit, idempotency, outbox
from app.kit.background import Background
from app.kit.cache import Cache
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.mail import SmtpChannel
from app.kit.metrics import Metrics
from app.kit.outbox import Outbox
from app.kit.ratelimit import RateLimiter
from app.kit.throttle import Exchange, Throttles
from app.kit.tokens import Tokens
from app.kit.watchdog import LoopWatchdog
from app.notifications.service import Notifications
from app.office.service import Office
from app.reviews.service import Reviews
from app.settings import Settings
from app.staff.service import Staff

GC_THRESHOLDS = (20_000, 20, 50)
"""Thresholds of the garbage collector. Higher than the default, because reference counting frees nearly all objects of
a request."""
HOUSEKEEPING_INTERVAL = 600.0  # seconds
FILE_CHECK_INTERVAL = 1.0  # seconds between checks that the database file is still at its path


class Services:
    """All services, connected to each other. Created when the application starts, closed when it ends."""

    def __init__(self, settings: Settings, metrics: Metrics, throttles: Throttles) -> None:
        self.settings = settings
        self.metrics = metrics
        self.database = Database(settings)
        self.hasher = PasswordHasher(settings)
        self.cache = Cache(settings)
        self.throttles = throttles
        self.exchange = Exchange(self.cache, throttles)
        self.tokens = Tokens(settings)
        self.watchdog = LoopWatchdog(settings.loop_watchdog_seconds)
        self.mail = SmtpChannel(settings) if settings.smtp_host else None
        self.outbox = Outbox(self.database, {"email": self.mail} if self.mail else {})
        self.notifications = Notifications(self.outbox, settings.public_url)
        self.accounts = Accounts(
            settings,
            database=self.database,
            hasher=self.hasher,
            limiter=RateLimiter(self.cache),
            tokens=self.tokens,
            notifications=self.notifications,
        )
        self.housekeeping = Background("housekeeping", self._prune, every=HOUSEKEEPING_INTERVAL)
        self.file_watch = Background("database-file", self._watch_file, every=FILE_CHECK_INTERVAL)
        self.catalog = Catalog(settings, self.database, self.cache)
        self.staff = Staff(settings, self.database, self.accounts)
        self.bookings = Bookings(
            settings,
            self.database,
            accounts=self.accounts,
            catalog=self.catalog,
            staff=self.staff,
            notifications=self.notifications,
        )
        self.reviews = Reviews(self.database, accounts=self.accounts, staff=self.staff, bookings=self.bookings)
        self.office = Office(
            settings,
            self.database,
            accounts=self.accounts,
            staff=self.staff,
            bookings=self.bookings,
            outbox=self.outbox,
        )
        self.accounts.on_role_change(self.staff.role_changed)
        self.accounts.on_erase(self.staff.erase)
        self.accounts.on_erase(self.reviews.erase)
        self.accounts.on_export("staff", self.staff.export)
        self.accounts.on_export("reviews", self.reviews.export)
        self.health = Health(self.database, self.cache)
        for name, pool in (
            ("hash", self.hasher.pool),
            ("read", self.database.readers),
            ("write", self.database.writers),
        ):
            metrics.watch_pool(name, pool)
        if self.mail:
            metrics.watch_pool("mail", self.mail.pool)
        metrics.watch_breaker(self.cache.breaker)
        metrics.watch_loop(self.watchdog)
        metrics.watch_logs()

    def start(self) -> None:
        """Start the background tasks."""
        # The objects of the start live until the end. Freezing them saves 50 ms in each full garbage collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self.watchdog.start()
        self.outbox.start()
        self.housekeeping.start()
        self.file_watch.start()
        self.exchange.background.start()

    async def close(self) -> None:
        """Stop the background tasks and close all connections."""
        await self.exchange.background.stop()
        await self.file_watch.stop()
        await self.housekeeping.stop()
        await self.outbox.stop()
        await self.catalog.close()
        self.watchdog.stop()
        if self.mail:
            self.mail.close()
        self.hasher.close()
        self.database.close()
        await self.cache.close()

    async def _watch_file(self) -> bool:
        """End the process if another database file is at the path. The restarted process opens that file."""
        if await self.database.keep_file():
            # A second SIGTERM, one interval later, ends the drain, because no request can be answered.
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    async def _prune(self) -> bool:
        """Delete a batch of expired rows, and return whether there are more."""
        prunes = (housekeeping.prune, outbox.prune, idempotency.prune, audit.prune)
        deleted = [await self.database.write(prune) for prune in prunes]
        return max(deleted) > 0


async def services(request: Request) -> Services:
    """Dependency: the services of the application."""
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(services)]


def client_address(request: Request) -> str:
    """Return the network address of the client; `unknown` if the proxy has not sent it."""
    return request.client.host if request.client else "unknown"
