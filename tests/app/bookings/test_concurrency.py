"""Concurrent clients of several server processes compete for the same hours of few cleaners; no visits overlap."""

import random
import shutil
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2

from tests.app.company import make_cleaner, make_service
from tests.app.conftest import Redis, RunningApi, Server, api_server, environment_of
from tests.app.operations import API, World

PROCESSES = 4
CLIENTS = 12
ROUNDS = 60
CLEANERS = 3
STARTS = 8
"""Number of half-hour start times to choose from; visits take an hour, so different start times can overlap."""
UNLIMITED = {"REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000", "REQUESTS_PER_MINUTE_PER_ACCOUNT": "1000000"}
OVERLAPS = """
SELECT a.id, b.id FROM booking a JOIN booking b
  ON a.cleaner_id = b.cleaner_id AND a.id < b.id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at
WHERE a.state IN ('assigned', 'in_progress') AND b.state IN ('assigned', 'in_progress')
"""

TOO_CLOSE = """
SELECT a.id, b.id FROM booking a JOIN booking b
  ON a.cleaner_id = b.cleaner_id AND a.address <> b.address
  AND a.ends_at <= b.starts_at AND julianday(b.starts_at) - julianday(a.ends_at) < 29.5 / 1440
WHERE a.state IN ('assigned', 'in_progress') AND b.state IN ('assigned', 'in_progress')
"""


class ConcurrentClients:
    """Clients that book, reschedule, cancel and assign through random server processes."""

    def __init__(self, world: World, servers: list[Server], service: str, starts: list[datetime]) -> None:
        self.world = world
        self.servers = servers
        self.service = service
        self.starts = starts

    def run_client(self, number: int) -> tuple[Counter[str], list[str]]:
        """Send ROUNDS requests; return the number of responses by action and status, and the ids of the bookings."""
        chance = random.Random(number)  # noqa: S311  # the same wishes in every run
        person = self.world.api.person()
        token = {"Authorization": f"Bearer {self.world.token(person)}"}
        office = {"Authorization": f"Bearer {self.world.token(self.world.manager)}"}
        responses: Counter[str] = Counter()
        booked: list[str] = []
        with httpx.Client(timeout=40, trust_env=False) as http:
            for _ in range(ROUNDS):
                url = chance.choice(self.servers).url + API + "/bookings"
                what = chance.choices(["book", "move", "cancel", "assign"], [6, 2, 1, 1])[0] if booked else "book"
                if what == "book":
                    response = http.post(url, json=self._order(chance), headers=token | _key())
                elif what == "move":
                    body = {"starts_at": chance.choice(self.starts).isoformat()}
                    path = f"{url}/{chance.choice(booked)}/reschedule"
                    response = http.post(path, json=body, headers=token | {"If-Match": "*"})
                elif what == "cancel":
                    response = http.post(f"{url}/{booked[-1]}/cancel", json={}, headers=token)
                else:
                    response = http.post(f"{url}/{booked[-1]}/assign", json={"cleaner_id": None}, headers=office)
                responses[f"{what} {response.status_code}"] += 1
                if response.status_code == 503:
                    assert int(response.headers["Retry-After"]) >= 1
                if response.status_code == 201:
                    booked.append(response.json()["id"])
        return responses, booked

    def _order(self, chance: random.Random) -> dict[str, object]:
        return {
            "service_id": self.service,
            "starts_at": chance.choice(self.starts).isoformat(),
            "address": f"Street {chance.randrange(2)}",
            "allow_duplicate": True,
        }


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


@pytest.mark.timeout(240)
def test_concurrent_bookings_never_overlap(tmp_path: Path, redis: Redis, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    environment = environment_of(tmp_path, redis) | UNLIMITED
    with ExitStack() as running:
        servers = [running.enter_context(api_server(tmp_path, environment)) for _ in range(PROCESSES)]
        api = RunningApi(servers[0], running)
        world = World(api)
        with dbapi2.connect(servers[0].database) as connection:
            connection.execute("UPDATE cleaner SET is_bookable = 0")
        connection.close()
        for _ in range(CLEANERS):
            make_cleaner(api)
        first = world.next_start() + timedelta(days=3)
        starts = [first + number * timedelta(minutes=30) for number in range(STARTS)]
        clients = ConcurrentClients(world, servers, make_service(servers[0].database, base_minutes=60), starts)
        with ThreadPoolExecutor(CLIENTS) as pool:
            outcomes = list(pool.map(clients.run_client, range(CLIENTS)))
    responses = sum((found for found, _ in outcomes), Counter[str]())
    booked = [booking for _, bookings in outcomes for booking in bookings]
    print(f"{responses.total()} requests: {dict(responses)}")  # noqa: T201
    assert sum(count for name, count in responses.items() if name.startswith("book")) >= 400
    assert responses.total() >= 500
    assert responses["book 201"] >= CLEANERS * STARTS // 2
    assert responses["book 409"] > 100
    statuses = {name.split()[1] for name in responses}
    assert statuses <= {"200", "201", "409", "503"}
    _check_consistency(tmp_path / "test.db", booked)


def _check_consistency(database: Path, booked: list[str]) -> None:
    connection = dbapi2.connect(database)
    assert connection.execute(OVERLAPS).fetchall() == []
    assert connection.execute(TOO_CLOSE).fetchall() == []
    assert {booking for (booking,) in connection.execute("SELECT id FROM booking")} == set(booked)
    taken = Counter(booking for (booking,) in connection.execute("SELECT booking_id FROM booking_slot"))
    active = {booking for (booking,) in connection.execute("SELECT id FROM booking WHERE state = 'assigned'")}
    assert taken == dict.fromkeys(active, 2)  # two slots of 30 minutes for each visit
    assert active
    connection.close()
