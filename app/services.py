"""Everything that lives as long as the application, and how a route gets at it."""

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

COLLECT = (20_000, 20, 50)
"""Of the garbage collector: a request leaves hundreds of objects, nearly all of which go without it."""
HOUSEKEEPING = 600.0  # seconds between rounds
FILE_WATCH = 1.0  # seconds between two looks whether the database's file is at its path


class Services:
    """Made when the application starts, closed when it ends."""

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
        self.housekeeping = Background("housekeeping", self._keep_house, every=HOUSEKEEPING)
        self.file_watch = Background("database-file", self._watch_file, every=FILE_WATCH)
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
        """Begin what runs beside the requests."""
        # What is here now stays: the garbage collector need not look at it again, which would take 50 ms each time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)
        self.watchdog.start()
        self.outbox.start()
        self.housekeeping.start()
        self.file_watch.start()
        self.exchange.background.start()

    async def close(self) -> None:
        """Let go of everything."""
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
        """End the process when another database is at the path: it is started again, and opens that one."""
        if await self.database.keep_file():
            # The second time, a round later, ends the drain: no request can be answered any more.
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    async def _keep_house(self) -> bool:
        """Delete a little of what is too old to keep; returns whether there is more."""
        prunes = (housekeeping.prune, outbox.prune, idempotency.prune, audit.prune)
        deleted = [await self.database.write(prune) for prune in prunes]
        return max(deleted) > 0


async def services(request: Request) -> Services:
    """The services of the application that the request came to."""
    return cast("Services", request.app.state.services)


InServices = Annotated[Services, Depends(services)]


def address(request: Request) -> str:
    """The client's address, as far as the proxy tells it."""
    return request.client.host if request.client else "unknown"
