"""The staff service without HTTP, on a migrated database for each test."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import insert
from sqlmodel import Session

from app.accounts.models import UserAccount
from app.accounts.service import Accounts
from app.kit.cache import Cache
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.models import identifier
from app.kit.outbox import Outbox
from app.kit.ratelimit import RateLimiter
from app.kit.tokens import Tokens
from app.notifications.service import Notifications
from app.settings import Settings
from app.staff.models import BookingSlot, Cleaner, WorkingHours
from app.staff.service import Staff

T = TypeVar("T")


class Company:
    """The staff service and its database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = Path(str(settings.parsed_database_url.database))
        self.database = Database(settings)
        self.accounts = Accounts(
            settings,
            database=self.database,
            hasher=PasswordHasher(settings),
            limiter=RateLimiter(Cache(settings)),
            tokens=Tokens(settings),
            notifications=Notifications(Outbox(self.database, {}), ""),
        )
        self.staff = Staff(settings, self.database, self.accounts)

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a write transaction."""
        return asyncio.run(self.database.write(work))

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a read transaction."""
        return asyncio.run(self.database.read(work))

    def account(self, role: str = "cleaner", name: str = "Ann Smith") -> str:
        """Add an account, and return its id."""
        new = identifier()
        self.write(
            lambda session: session.add(
                UserAccount(id=new, email=f"{new}@example.com", password_hash="-", full_name=name, role=role)
            )
        )
        return new

    def cleaner(self, *shifts: tuple[int, int, int]) -> str:
        """Add a bookable cleaner with shifts of (weekday, first minute, last minute), and return the id."""
        new = self.account()

        def work(session: Session) -> None:
            session.add(Cleaner(account_id=new))
            session.flush()
            session.add_all(WorkingHours(cleaner_id=new, weekday=day, starts=a, ends=b) for day, a, b in shifts)

        self.write(work)
        return new

    def add_cleaners(
        self, size: int, shifts: Sequence[tuple[int, int, int]], booking_id: str, slots: Sequence[int]
    ) -> None:
        """Add many cleaners with the same shifts and the same reserved slots."""
        ids = [identifier() for _ in range(size)]

        def work(session: Session) -> None:
            for model, rows in (
                (
                    UserAccount,
                    [{"id": c, "email": f"{c}@example.com", "password_hash": "-", "full_name": "A"} for c in ids],
                ),
                (Cleaner, [{"account_id": c} for c in ids]),
                (
                    WorkingHours,
                    [{"cleaner_id": c, "weekday": d, "starts": a, "ends": b} for c in ids for d, a, b in shifts],
                ),
                (BookingSlot, [{"cleaner_id": c, "slot": s, "booking_id": booking_id} for c in ids for s in slots]),
            ):
                session.execute(insert(model), rows)

        self.write(work)


@pytest.fixture
def company(tmp_path: Path, migrated: Path) -> Iterator[Company]:
    """An empty company in Berlin."""
    shutil.copy(migrated, tmp_path / "test.db")
    company = Company(
        Settings(
            secret_key="s" * 32,
            canary_token="c" * 32,
            database_url=f"sqlite:///{tmp_path}/test.db",
            business_timezone="Europe/Berlin",
        )
    )
    yield company
    company.database.close()
