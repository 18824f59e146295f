"""A client that writes all the time, and a ledger of every write that was acknowledged to it.

Open loop: a write is due every fifth of a second, whatever became of those before it, and its time counts from then.
A request that fails is repeated with the same Idempotency-Key, as the API asks its clients to; nothing else is done
for it.
"""

from __future__ import annotations

import json
import secrets
import shlex
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import urllib3
from converged import API, API_2
from testinfra.host import Host

RATE = 5.0  # writes a second
BOOKINGS = 5  # every fifth write is a booking, the others are registrations
ATTEMPTS = 3  # of one write, with the same key
PAUSE = 2.0  # seconds between them
PATIENCE = 20.0  # seconds that the client waits for an answer
KEPT_OPEN = 50  # connections between two requests
THREADS = 3000  # of requests under way at most; more are sent late
LOGIN_EVERY = 600.0  # seconds; an access token is good for 900
PASSWORD = "correct horse battery"  # of everybody whom `seed` makes
OK, CREATED = 200, 201
WEEKS = 10  # of free times to book
APART = 5400  # seconds between two of them: a visit of an hour, and half an hour to travel
CLIENT = {"email": "client-1@example.com", "password": PASSWORD}

# Only the application's own SQLite opens the live database.
READ = """
import json, sys, pysqlite3.dbapi2 as s
pattern = sys.argv[1] + "-%"
c = s.connect("cleaning_service_stable.db", timeout=20)
print(json.dumps({
    "users": [row[0] for row in c.execute("SELECT email FROM user_account WHERE email LIKE ?", [pattern])],
    "bookings": [row[0] for row in c.execute("SELECT address FROM booking WHERE address LIKE ?", [pattern])],
    "integrity": c.execute("PRAGMA quick_check").fetchone()[0],
}))
"""


@dataclass(frozen=True)
class Request:
    """One request and what came of it; times are of time.monotonic()."""

    began: float
    ended: float
    outcome: str
    """The status, or the name of the error."""

    wanted: int = CREATED
    """The status that it is acknowledged with."""

    @property
    def failed(self) -> bool:
        """Whether it was not acknowledged."""
        return self.outcome != str(self.wanted)


@dataclass
class Writer:
    """The client; runs in threads of its own between `start` and `close`."""

    url: str
    name: str = field(default_factory=lambda: f"ledger-{secrets.token_hex(4)}")
    """Of this ledger: everything that it writes begins with it."""
    rate: float = RATE
    """Requests that begin in each second."""
    attempts: int = ATTEMPTS
    """Of one write, with the same key."""
    requests: list[Request] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    """Addresses whose registration was acknowledged."""
    bookings: set[str] = field(default_factory=set)
    """Street addresses of visits whose booking was acknowledged; each is booked once."""
    replayed: int = 0
    """Acknowledgements that were given a second time, because the first one was lost on its way."""
    given_up: int = 0
    """Writes that no attempt got acknowledged."""
    _order: dict[str, object] = field(default_factory=dict)
    _starts: list[str] = field(default_factory=list)
    _token: str = ""
    _under_way: dict[str, float] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _errors: list[str] = field(default_factory=list)
    """Of this client itself."""

    def __post_init__(self) -> None:
        self.move(self.url)

    def move(self, url: str) -> None:
        """Send to another address from now on."""
        self.url = url
        # Takes a third of the processor time of an asynchronous library, on the machine that is under test too.
        self._http = urllib3.connection_from_url(self.url, maxsize=KEPT_OPEN, retries=False, timeout=PATIENCE)

    def knows_client(self) -> bool:
        """Whether the client is known to the API, in whose name visits are booked."""
        return self._log_in()

    def prepare(self) -> int:
        """Find out what can be booked; returns how many visits."""
        services = self._read("/api/v1/services")
        hourly = next(each for each in services["items"] if each["measures"] == ["hours"])
        self._order = {"service_id": hourly["id"], "hours": 1}
        first = datetime.now(UTC).date() + timedelta(days=1)
        for week in range(WEEKS):
            date = first + timedelta(weeks=week)
            for free in self._read(f"/api/v1/availability?date={date}&days=7&duration_minutes=60")["days"]:
                for slot in free["slots"]:
                    # Whatever is booked of these leaves a cleaner time to travel to the next one.
                    if datetime.fromisoformat(slot["starts_at"]).timestamp() % APART == 0:
                        self._starts += [slot["starts_at"]] * slot["cleaners"]
        self._starts.reverse()
        return len(self._starts)

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write no more; what is under way still gets its answer."""
        self._ended.set()
        if self._thread:
            self._thread.join(self.attempts * (PATIENCE + PAUSE))
            assert not self._thread.is_alive(), "a request has neither been answered nor given up"
        assert not self._errors, self._errors

    def between(self, began: float, ended: float) -> list[Request]:
        """The requests that were under way at some moment between these times of time.monotonic()."""
        return [each for each in list(self.requests) if each.ended >= began and each.began <= ended]

    def settle(self, until: float) -> None:
        """Wait for the answers to all requests that began before `until`; their own patience bounds that."""
        while any(began <= until for began in list(self._under_way.values())):
            time.sleep(0.2)

    def _read(self, path: str) -> Any:  # noqa: ANN401  # as JSON
        answer = self._http.request("GET", path)
        assert answer.status == OK, answer.data
        return answer.json()

    def _write(self) -> None:
        self._log_in()
        with ThreadPoolExecutor(THREADS) as threads:
            threads.submit(self._stay_logged_in)
            number, due = 0, time.monotonic()
            while not self._ended.is_set():
                number, due = number + 1, due + 1 / self.rate
                time.sleep(max(0.0, due - time.monotonic()))
                threads.submit(self._send, number, due).add_done_callback(self._look)

    def _look(self, sent: Future[None]) -> None:
        if error := sent.exception():
            self._errors.append(repr(error))

    def _send(self, number: int, due: float) -> None:
        """Send the request of this number, counted from 1, that was due at a time of time.monotonic()."""
        if number % BOOKINGS == 0:
            self._book(number, due)
        else:
            self._register(number, due)

    def _stay_logged_in(self) -> None:
        due = time.monotonic() + LOGIN_EVERY
        while not self._ended.wait(1):
            # Where it fails, the next round tries again.
            if time.monotonic() >= due and self._log_in():
                due = time.monotonic() + LOGIN_EVERY

    def _log_in(self) -> bool:
        try:
            answer = self._http.request("POST", "/api/v1/auth/login", json=CLIENT)
        except urllib3.exceptions.HTTPError:
            return False
        if answer.status == OK:
            self._token = answer.json()["access_token"]
        return answer.status == OK

    def _register(self, number: int, due: float) -> None:
        email = f"{self.name}-{number}@example.com"
        body = {"email": email, "password": PASSWORD, "full_name": "Ledger Example"}
        if self._acknowledged("/api/v1/auth/register", body, due):
            self.users.add(email)

    def _book(self, number: int, due: float) -> None:
        with self._counting:
            start = self._starts.pop() if self._token and self._starts else None
        if start is None:
            return self._register(number, due)
        address = f"{self.name}-{number}"
        body = self._order | {"starts_at": start, "address": address}
        if self._acknowledged("/api/v1/bookings", body, due):
            self.bookings.add(address)
        return None

    def _acknowledged(self, path: str, body: Mapping[str, object], due: float) -> bool:
        """Send one write until it is acknowledged, at most `attempts` times."""
        key = secrets.token_hex(16)
        began = due
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(PAUSE)
                began = time.monotonic()
            self._under_way[key] = began
            outcome, headers = self._ask("POST", path, body, {"Idempotency-Key": key})
            if headers.get("Idempotency-Replayed") == "true":
                with self._counting:
                    self.replayed += 1
            self.requests.append(Request(began, time.monotonic(), outcome))
            del self._under_way[key]
            if outcome == str(CREATED):
                return True
        with self._counting:
            self.given_up += 1
        return False

    def _ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[str, Mapping[str, str]]:
        """Send one request, with the client's token if it has one; returns the outcome and the answer's headers."""
        authorization = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = self._http.request(method, path, json=body, headers={**authorization, **(headers or {})})
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__, {}
        return str(answer.status), answer.headers


@dataclass(frozen=True)
class Balance:
    """The ledger held against the database."""

    acknowledged: int
    lost: list[str]
    """Acknowledged, and not in the database."""
    doubled: list[str]
    """In the database more than once."""
    unseen: int
    """In the database, and the client never learned of it."""
    integrity: str
    """What SQLite says of the file: `ok`."""

    @property
    def holds(self) -> bool:
        """Whether nothing is lost and nothing doubled."""
        return not self.lost and not self.doubled and self.integrity == "ok"


def balance(host: Host, writer: Writer) -> Balance:
    """Hold the ledger against the database; needs one running replica."""
    # What is acknowledged before the look must be seen in it, not what is while we look.
    users, bookings = set(writer.users), set(writer.bookings)
    for container in (API, API_2):
        run = host.run(f"docker exec {container} /srv/venv/bin/python -c {shlex.quote(READ)} {writer.name}")
        if run.rc == 0:
            break
    else:
        raise AssertionError(f"the database cannot be read: {run.stderr}")
    found = json.loads(run.stdout)
    there = Counter([*found["users"], *found["bookings"]])
    acknowledged = users | bookings
    return Balance(
        acknowledged=len(acknowledged),
        lost=sorted(acknowledged - there.keys()),
        doubled=sorted(name for name, times in there.items() if times > 1),
        unseen=len(there.keys() - writer.users - writer.bookings),
        integrity=found["integrity"],
    )
