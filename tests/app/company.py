"""Test data of a company, inserted into the database: services, extras, and cleaners with working hours."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import httpx
from pysqlite3 import dbapi2

from tests.app.people import Person

Hours = Mapping[int, Iterable[tuple[int, int]]]
"""Shifts by weekday (0 is Monday), from and to, in minutes after midnight."""
ALWAYS: Hours = {weekday: [(0, 24 * 60)] for weekday in range(7)}
BERLIN = ZoneInfo("Europe/Berlin")
"""BUSINESS_TIMEZONE of the shared API."""


class Employer(Protocol):
    """An API in which users can be registered, for example the fixture `api`."""

    @property
    def database(self) -> Path:
        """The database file."""

    def person(self, role: str = "client") -> Person:
        """Register a user with this role."""


@contextmanager
def opened(database: Path) -> Iterator[Any]:
    """Open a connection, and commit its changes at the end of the block."""
    connection = dbapi2.connect(database, timeout=20)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def rows(database: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with opened(database) as connection:
        return list(connection.execute(query, values))


def execute(database: Path, statement: str, *values: object) -> None:
    """Change the database directly, without the API."""
    with opened(database) as connection:
        connection.execute(statement, values)


def stored(at: datetime) -> str:
    """Convert a time to the text that the database stores."""
    return at.astimezone(UTC).replace(tzinfo=None).strftime("%Y-%m-%d %H:%M:%S.%f")


def make_service(database: Path, **changes: object) -> str:
    """Insert an active service, and return its id. It costs 100.00 for an hour, unless `changes` sets other columns."""
    values: dict[str, object] = {
        "id": str(uuid.uuid4()),
        "name": "Regular cleaning",
        "description": "",
        "position": 0,
        "base_price": 10000,
        "price_per_square_metre": 0,
        "price_per_room": 0,
        "price_per_hour": 0,
        "base_minutes": 60,
        "seconds_per_square_metre": 0,
        "minutes_per_room": 0,
        "is_active": 1,
        "version": 1,
        "created_at": stored(datetime.now(UTC)),
        "updated_at": stored(datetime.now(UTC)),
    } | changes
    _insert(database, "cleaning_service", values)
    return str(values["id"])


def make_extra(database: Path, service_id: str, **changes: object) -> str:
    """Insert an active extra of a service, and return its id. It costs 15.00, takes 30 minutes, at most three times."""
    values: dict[str, object] = {
        "id": str(uuid.uuid4()),
        "service_id": service_id,
        "name": "Oven",
        "position": 0,
        "price": 1500,
        "minutes": 30,
        "maximum_quantity": 3,
        "is_active": 1,
        "version": 1,
    } | changes
    _insert(database, "service_extra", values)
    return str(values["id"])


def make_cleaner(api: Employer, hours: Hours = ALWAYS) -> Person:
    """Register a cleaner with these working hours."""
    cleaner = api.person("cleaner")
    work_at(api.database, cleaner.id, hours)
    return cleaner


def work_at(database: Path, cleaner_id: str, hours: Hours) -> None:
    """Insert working hours for a cleaner without any."""
    with opened(database) as connection:
        connection.executemany(
            "INSERT INTO working_hours (cleaner_id, weekday, starts, ends) VALUES (?, ?, ?, ?)",
            [(cleaner_id, weekday, *each) for weekday, intervals in hours.items() for each in intervals],
        )


def set_bookable(database: Path, cleaner_ids: Iterable[str], *, bookable: bool) -> None:
    """Make cleaners bookable, or not bookable."""
    with opened(database) as connection:
        connection.executemany(
            "UPDATE cleaner SET is_bookable = ? WHERE account_id = ?", [(bookable, each) for each in cleaner_ids]
        )


@contextmanager
def only_new_cleaners(database: Path) -> Iterator[None]:
    """Within the block, only cleaners registered in it are bookable. After it, only the earlier ones are."""
    before = [each for (each,) in rows(database, "SELECT account_id FROM cleaner WHERE is_bookable")]
    set_bookable(database, before, bookable=False)
    try:
        yield
    finally:
        execute(database, "UPDATE cleaner SET is_bookable = 0")
        set_bookable(database, before, bookable=True)


def at(day: date, hour: int, minute: int = 0, zone: ZoneInfo = BERLIN) -> datetime:
    """The time at which local clocks show this hour and minute."""
    return datetime.combine(day, time(hour, minute), zone)


def day_ahead(days: int) -> date:
    """The date in this many days."""
    return (datetime.now(BERLIN) + timedelta(days=days)).date()


def order(service_id: str, starts_at: datetime, **changes: object) -> dict[str, object]:
    """The body of a booking of this service."""
    return {
        "service_id": service_id,
        "starts_at": starts_at.isoformat(),
        "address": "Main Street 5",
        "notes": "Knock",
    } | changes


def book(http: httpx.Client, body: Mapping[str, object], key: str | None = None) -> httpx.Response:
    """Send a booking."""
    return http.post("/api/v1/bookings", json=body, headers={"Idempotency-Key": key or str(uuid.uuid4())})


def _insert(database: Path, table: str, values: Mapping[str, object]) -> None:
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    execute(database, f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values.values())  # noqa: S608  # constant names
