"""The API is killed repeatedly while clients write. Acknowledged writes are not lost, and no write happens twice."""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2

from tests.app.company import ALWAYS, make_service, work_at
from tests.app.conftest import WITHOUT_COVERAGE, Redis, Server, api_server, environment_of, new_user
from tests.app.people import Person, sign_in

KILLS = 50
REPLICAS = 2
CLEANERS = 20
WRITERS = 4
UNLIMITED = {
    "REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000",
    "REQUESTS_PER_MINUTE_PER_ACCOUNT": "1000000",
    "BOOKING_TRAVEL_MINUTES": "0",  # the cleaners work without a pause
}
RETRY_TIMEOUT = 60.0  # seconds in which one request is repeated


class Replica:
    """An API that is killed and restarted on the same database."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._start: Callable[[], Server] = lambda: self._stack.enter_context(api_server(directory, environment))
        self._stack = ExitStack()
        self.server = self._start()
        self.url = self.server.url

    def kill(self) -> None:
        """Kill the process with SIGKILL, start a new one, and wait until it is ready."""
        self.server.process.kill()
        self.server.process.wait()
        self.server = self._start()
        self.url = self.server.url

    def close(self) -> None:
        """End the process."""
        self._stack.close()


@dataclass
class Ledger:
    """The acknowledged and the attempted writes of a client."""

    bookings: dict[str, tuple[dict[str, object], str]] = field(default_factory=dict)
    """By idempotency key: the body, and the id of the acknowledged booking."""
    notes: dict[str, set[str]] = field(default_factory=dict)
    """By booking: the last acknowledged text, and later texts that were sent without an answer."""
    repeated: int = 0
    """Requests that had to be sent again."""


class Writer(threading.Thread):
    """A client that books and changes its bookings, and repeats a request until there is an answer."""

    def __init__(self, urls: Callable[[], str], token: str, body: Callable[[], dict[str, object]]) -> None:
        super().__init__(daemon=True)
        self.ledger = Ledger()
        self.done = threading.Event()
        self.failure: BaseException | None = None
        self._urls = urls
        self._body = body
        self._http = httpx.Client(timeout=10, trust_env=False, headers={"Authorization": token})

    def run(self) -> None:
        """Write until `done` is set."""
        try:
            while not self.done.is_set():
                booking = self._book(self._body())
                for number in range(2):
                    self._note(booking, f"note {number}")
        except BaseException as error:  # noqa: BLE001  # shown by the test
            self.failure = error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def repeat(self, key: str) -> httpx.Response:
        """Repeat the request of an acknowledged booking."""
        body, _ = self.ledger.bookings[key]
        return self._answer("POST", "/api/v1/bookings", json=body, headers={"Idempotency-Key": key})

    def _book(self, body: dict[str, object]) -> str:
        key = str(uuid.uuid4())
        answer = self._answer("POST", "/api/v1/bookings", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 201, answer.text
        booking = str(answer.json()["id"])
        self.ledger.bookings[key] = (body, booking)
        self.ledger.notes[booking] = {str(body["notes"])}
        return booking

    def _note(self, booking: str, text: str) -> None:
        self.ledger.notes[booking].add(text)
        answer = self._answer("PATCH", f"/api/v1/bookings/{booking}", json={"notes": text}, headers={"If-Match": "*"})
        assert answer.status_code == 200, answer.text
        self.ledger.notes[booking] = {text}

    def _answer(self, method: str, path: str, **request: object) -> httpx.Response:
        deadline = time.monotonic() + RETRY_TIMEOUT
        while True:
            try:
                answer = self._http.request(method, self._urls() + path, **request)  # type: ignore[arg-type]
                if answer.status_code < 500:
                    return answer
                assert answer.status_code in {503, 504}, answer.text
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline
            self.ledger.repeated += 1
            time.sleep(0.05)


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_kills_lose_no_acknowledged_write_and_duplicate_none(tmp_path: Path, redis: Redis, migrated: Path) -> None:
    (tmp_path / "test.db").write_bytes(migrated.read_bytes())
    environment = environment_of(tmp_path, redis) | UNLIMITED | WITHOUT_COVERAGE
    replicas = [Replica(tmp_path, environment) for _ in range(REPLICAS)]
    chance = random.Random(20261124)  # noqa: S311  # the same moments in every run, as far as the machine allows
    writers = _writers(replicas, chance)
    for writer in writers:
        writer.start()
    with ThreadPoolExecutor(REPLICAS) as killers:
        list(killers.map(lambda replica: _kill_repeatedly(replica, chance), replicas))
    for writer in writers:
        writer.done.set()
        writer.join(RETRY_TIMEOUT)
        assert writer.failure is None, repr(writer.failure)

    acknowledged = sum(len(writer.ledger.bookings) for writer in writers)
    repeated = sum(writer.ledger.repeated for writer in writers)
    print(f"{KILLS} kills: {acknowledged} bookings acknowledged, {repeated} requests repeated")  # noqa: T201
    assert acknowledged > KILLS
    assert repeated > 0
    for writer in writers:
        _repeat(writer)
        writer.close()
    for replica in replicas:
        replica.close()
    _check_database(replicas[0].server.database, [writer.ledger for writer in writers])


def _writers(replicas: list[Replica], chance: random.Random) -> list[Writer]:
    server = replicas[0].server
    service = make_service(server.database, base_minutes=30)

    def person(role: str) -> Person:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            return sign_in(http, server.database, new_user(), role)

    for _ in range(CLEANERS):
        work_at(server.database, person("cleaner").id, ALWAYS)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    numbers = itertools.count()

    def body() -> dict[str, object]:
        number = next(numbers)
        return {
            "service_id": service,
            "starts_at": (start + timedelta(minutes=30 * (number // CLEANERS))).isoformat(),
            "address": f"Street {number}",
            "notes": f"visit {number}",
        }

    tokens = [person("client").http.headers["Authorization"] for _ in range(WRITERS)]
    return [Writer(lambda: chance.choice(replicas).url, token, body) for token in tokens]


def _kill_repeatedly(replica: Replica, chance: random.Random) -> None:
    for _ in range(KILLS // REPLICAS):
        time.sleep(chance.uniform(0.01, 0.6))
        replica.kill()


def _repeat(writer: Writer) -> None:
    """Repeat acknowledged requests, and check that the answers equal the first ones."""
    for key, (_, booking) in itertools.islice(writer.ledger.bookings.items(), 50):
        answer = writer.repeat(key)
        assert (answer.status_code, answer.json()["id"]) == (201, booking)
        assert answer.headers["Idempotency-Replayed"] == "true"


def _check_database(database: Path, ledgers: list[Ledger]) -> None:
    connection = dbapi2.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    found = dict(connection.execute("SELECT id, notes FROM booking"))
    acknowledged = {booking for ledger in ledgers for booking in ledger.notes}
    assert found.keys() == acknowledged
    for ledger in ledgers:
        for booking, notes in ledger.notes.items():
            assert found[booking] in notes
    twice = connection.execute("SELECT address FROM booking GROUP BY address HAVING count(*) > 1").fetchall()
    assert twice == []
    halves = connection.execute(
        "SELECT count(*) FROM booking WHERE id NOT IN (SELECT booking_id FROM booking_slot)"
        " OR id NOT IN (SELECT booking_id FROM booking_event)"
    ).fetchone()
    assert halves == (0,)
    connection.close()
