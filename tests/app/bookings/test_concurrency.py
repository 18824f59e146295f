"""Many clients of several processes want the same few hours of the same few cleaners: none of them is there twice."""

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
"""Half hours that everybody wants; a visit takes an hour, so that wishes overlap without being equal."""
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


class Crowd:
    """Clients who book, move and cancel, through any of the processes."""

    def __init__(self, world: World, servers: list[Server], service: str, starts: list[datetime]) -> None:
        self.world = world
        self.servers = servers
        self.service = service
        self.starts = starts

    def act(self, number: int) -> tuple[Counter[str], list[str]]:
        """Be one client for ROUNDS requests; returns the answers by request and status, and what was booked."""
        chance = random.Random(number)  # noqa: S311  # the same wishes in every run
        person = self.world.api.person()
        token = {"Authorization": f"Bearer {self.world.token(person)}"}
        office = {"Authorization": f"Bearer {self.world.token(self.world.manager)}"}
        answers: Counter[str] = Counter()
        booked: list[str] = []
        with httpx.Client(timeout=40, trust_env=False) as http:
            for _ in range(ROUNDS):
                url = chance.choice(self.servers).url + API + "/bookings"
                what = chance.choices(["book", "move", "cancel", "assign"], [6, 2, 1, 1])[0] if booked else "book"
                if what == "book":
                    answer = http.post(url, json=self._order(chance), headers=token | _key())
                elif what == "move":
                    body = {"starts_at": chance.choice(self.starts).isoformat()}
                    path = f"{url}/{chance.choice(booked)}/reschedule"
                    answer = http.post(path, json=body, headers=token | {"If-Match": "*"})
                elif what == "cancel":
                    answer = http.post(f"{url}/{booked[-1]}/cancel", json={}, headers=token)
                else:
                    answer = http.post(f"{url}/{booked[-1]}/assign", json={"cleaner_id": None}, headers=office)
                answers[f"{what} {answer.status_code}"] += 1
                if answer.status_code == 503:
                    assert int(answer.headers["Retry-After"]) >= 1
                if answer.status_code == 201:
                    booked.append(answer.json()["id"])
        return answers, booked

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
def test_no_cleaner_is_ever_booked_twice(tmp_path: Path, redis: Redis, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    environment = environment_of(tmp_path, redis) | UNLIMITED
    with ExitStack() as running:
        servers = [running.enter_context(api_server(tmp_path, environment)) for _ in range(PROCESSES)]
        api = RunningApi(servers[0], running)
        world = World(api)
        with dbapi2.connect(servers[0].database) as connection:  # only these cleaners
            connection.execute("UPDATE cleaner SET is_bookable = 0")
        connection.close()
        for _ in range(CLEANERS):
            make_cleaner(api)
        first = world.next_start() + timedelta(days=3)
        starts = [first + number * timedelta(minutes=30) for number in range(STARTS)]
        crowd = Crowd(world, servers, make_service(servers[0].database, base_minutes=60), starts)
        with ThreadPoolExecutor(CLIENTS) as pool:
            outcomes = list(pool.map(crowd.act, range(CLIENTS)))
    answers = sum((found for found, _ in outcomes), Counter[str]())
    booked = [booking for _, bookings in outcomes for booking in bookings]
    print(f"{answers.total()} requests: {dict(answers)}")  # noqa: T201
    assert sum(count for name, count in answers.items() if name.startswith("book")) >= 400
    assert answers.total() >= 500
    assert answers["book 201"] >= CLEANERS * STARTS // 2
    assert answers["book 409"] > 100
    statuses = {name.split()[1] for name in answers}
    assert statuses <= {"200", "201", "409", "503"}
    _see_what_is_there(tmp_path / "test.db", booked)


def _see_what_is_there(database: Path, booked: list[str]) -> None:
    connection = dbapi2.connect(database)
    assert connection.execute(OVERLAPS).fetchall() == []
    assert connection.execute(TOO_CLOSE).fetchall() == []
    assert {booking for (booking,) in connection.execute("SELECT id FROM booking")} == set(booked)
    taken = Counter(booking for (booking,) in connection.execute("SELECT booking_id FROM booking_slot"))
    active = {booking for (booking,) in connection.execute("SELECT id FROM booking WHERE state = 'assigned'")}
    assert taken == dict.fromkeys(active, 2)  # two half hours each
    assert active
    connection.close()
