"""A company of any size, written straight into the file: years of visits, as the API would have left them."""

import json
import random
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from app.accounts.models import UserAccount
from app.kit.hashing import CONTEXT

PASSWORD = "correct horse battery"  # noqa: S105  # of people who exist only here
CLEANERS = 200
BEGINNINGS = (time(7), time(9, 30))
"""Of each cleaner's visits on a day (UTC); the afternoons are free."""
LENGTH = timedelta(hours=2)
AHEAD = 16
"""Days for which there are bookings already."""
SLOT = 1800  # seconds
NAMES = ("Anna", "Boris", "Clara", "Dmitri", "Emma", "Felix", "Greta", "Hugo", "Ivan", "Julia")
SURNAMES = ("Petrova", "Schmidt", "Laurent", "Becker", "Orlov", "Meyer", "Novak", "Rossi", "Silva", "Weber")


@dataclass
class Company:
    """Who is in a generated company; everybody has the same password."""

    emails: dict[str, str]
    """Of one person of each role."""
    client_id: str
    cleaner_id: str
    booking_id: str
    """A completed booking of this client with this cleaner, with a review."""
    service_id: str


def _stored(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def generate(database: Path, *, clients: int, bookings: int) -> Company:
    """Fill an empty database of the newest schema.

    Args:
        database: the file.
        clients: accounts that have bookings.
        bookings: all in all; each client has as many as any other.
    """
    chance = random.Random(1)  # noqa: S311  # the same company every time
    connection = sqlite3.connect(database, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-500000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    writer = _Writer(connection, chance)
    writer.people(clients)
    writer.service()
    writer.bookings(bookings)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    return Company(
        emails={
            "client": f"client-{writer.client}@example.com",
            "cleaner": f"cleaner-{writer.cleaners.index(writer.cleaner)}@example.com",
            "manager": "manager-0@example.com",
            "admin": "admin-0@example.com",
        },
        client_id=writer.clients[writer.client],
        cleaner_id=writer.cleaner,
        booking_id=writer.booking,
        service_id=writer.service_id,
    )


class _Writer:
    def __init__(self, connection: sqlite3.Connection, chance: random.Random) -> None:
        self._connection = connection
        self._chance = chance
        self._now = datetime.now(UTC)
        self.clients: list[str] = []
        self.cleaners: list[str] = []
        self.service_id = self._id()
        self.booking = self.cleaner = ""
        self.client = 0

    def _id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def _insert(self, table: str, rows: Iterator[dict[str, Any]]) -> None:
        first = next(rows, None)
        if first is None:
            return
        columns, places = ", ".join(first), ", ".join("?" * len(first))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608  # names of our own
        self._connection.execute(statement, tuple(first.values()))
        self._connection.executemany(statement, (tuple(row.values()) for row in rows))

    def people(self, clients: int) -> None:
        """Accounts, how they are found, and who of them cleans."""
        hashed = CONTEXT.hash(PASSWORD)
        accounts = [
            UserAccount(
                id=self._id(),
                email=f"{role}-{number}@example.com",
                password_hash=hashed,
                full_name=f"{self._chance.choice(NAMES)} {self._chance.choice(SURNAMES)}-{number}",
                phone=f"+49{10**9 + number}",
                role=role,
                created_at=self._now - timedelta(minutes=number),
                updated_at=self._now,
            )
            for role, count in (("cleaner", CLEANERS), ("manager", 5), ("admin", 1), ("client", clients))
            for number in range(count)
        ]
        self.cleaners = [each.id for each in accounts if each.role == "cleaner"]
        self.clients = [each.id for each in accounts if each.role == "client"]
        moments = ("created_at", "updated_at", "email_verified_at", "erased_at")
        self._insert(
            "user_account",
            (
                {name: _stored(value) if name in moments and value else value for name, value in each}
                for each in (account.model_dump().items() for account in accounts)
            ),
        )
        self._insert(
            "account_term",
            (
                {"term": term, "account_id": each.id}
                for each in accounts
                for term in {*each.full_name.casefold().split(), each.email, str(each.phone)}
            ),
        )
        self._insert(
            "cleaner",
            (
                {"account_id": each, "is_bookable": 1, "rating_total": 0, "rating_count": 0, "version": 1}
                | {"created_at": _stored(self._now)}
                for each in self.cleaners
            ),
        )
        self._insert(
            "working_hours",
            (
                {"cleaner_id": each, "weekday": weekday, "starts": 0, "ends": 1440}
                for each in self.cleaners
                for weekday in range(7)
            ),
        )

    def service(self) -> None:
        """What everybody books: two hours, 100.00."""
        self._insert(
            "cleaning_service",
            iter(
                [
                    {"id": self.service_id, "name": "Regular cleaning", "description": "", "position": 0}
                    | {"base_price": 10000, "price_per_square_metre": 0, "price_per_room": 0, "price_per_hour": 0}
                    | {"base_minutes": 120, "seconds_per_square_metre": 0, "minutes_per_room": 0, "is_active": 1}
                    | {"version": 1, "created_at": _stored(self._now), "updated_at": _stored(self._now)}
                ]
            ),
        )

    def _visits(self) -> Iterator[tuple[datetime, str]]:
        """Whom somebody may have booked, and when: days near today first."""
        today = self._now.date()
        distance = 0
        while True:
            for day in dict.fromkeys((-distance, distance) if distance <= AHEAD else (-distance,)):
                for begins in BEGINNINGS:
                    start = datetime.combine(today + timedelta(days=day), begins, UTC)
                    for cleaner in self.cleaners:
                        yield start, cleaner
            distance += 1

    def bookings(self, count: int) -> None:
        """The visits with their slots, their history, reviews, messages and entries of the audit log."""
        found = [
            (self._id(), number, start, cleaner, self._state(start))
            for number, (start, cleaner) in enumerate(islice(self._visits(), count))
        ]
        quote = json.dumps(
            {
                "items": [
                    {"kind": "base", "name": "Regular cleaning", "quantity": 1, "unit_price": 10000, "amount": 10000}
                ],
                "square_metres": None,
                "rooms": None,
                "hours": None,
            }
        )
        booked = _stored(self._now - timedelta(days=30))
        self._insert(
            "booking",
            (
                {"id": booking, "reference": f"R{number:09d}", "client_id": self._client(number)}
                | {"cleaner_id": cleaner, "service_id": self.service_id, "service_name": "Regular cleaning"}
                | {"state": state, "starts_at": _stored(start), "ends_at": _stored(start + LENGTH)}
                | {"address": f"Main Street {number}", "notes": "", "price": 10000, "currency": "EUR"}
                | {"quote": quote, "cancellation_fee": 0, "version": 1, "created_at": booked, "updated_at": booked}
                for booking, number, start, cleaner, state in found
            ),
        )
        self._insert(
            "booking_slot",
            (
                {"cleaner_id": cleaner, "slot": slot, "booking_id": booking}
                for booking, _, start, cleaner, state in found
                if state == "assigned"
                for slot in range(int(start.timestamp()) // SLOT, int((start + LENGTH).timestamp()) // SLOT)
            ),
        )
        self._insert(
            "booking_event",
            (
                {"booking_id": booking, "at": booked, "actor_id": self._client(number), "kind": kind}
                | {"state": state, "details": "{}"}
                for booking, number, _, _, state in found
                for kind in ("requested", "assigned")
            ),
        )
        reviewed = [each for each in found if each[-1] == "completed"]
        self._insert(
            "review",
            (
                {"booking_id": booking, "client_id": self._client(number), "cleaner_id": cleaner, "stars": 5}
                | {"comment": "Spotless, thank you!", "created_at": _stored(start)}
                for booking, number, start, cleaner, _ in reviewed
            ),
        )
        self._insert(
            "audit_entry",
            (
                {"at": booked, "action": "booking.requested", "actor_id": self._client(number)}
                | {"subject_id": booking, "details": "{}"}
                for booking, number, *_ in found
            ),
        )
        self._insert(
            "outbox_message",
            (
                {"id": self._id(), "channel": "email", "account_id": self._client(number)}
                | {"recipient": "client@example.com", "template": "booking_assigned", "subject": "Your visit"}
                | {"body": "We will come.", "state": "sent", "attempts": 1, "due_at": booked, "created_at": booked}
                for booking, number, *_ in found
                if number % 10 == 0
            ),
        )
        self.booking, number, _, self.cleaner, _ = reviewed[0]
        self.client = number % len(self.clients)

    def _client(self, number: int) -> str:
        return self.clients[number % len(self.clients)]

    def _state(self, start: datetime) -> str:
        if start > self._now:
            return "assigned"
        return self._chance.choices(("completed", "cancelled", "no_show"), (80, 12, 8))[0]
