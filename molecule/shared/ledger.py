"""A client that writes all the time, and a ledger of every write that was acknowledged to it.

Open loop: a write begins every fifth of a second, whatever became of those before it. A request that fails is repeated
with the same Idempotency-Key, as the API asks its clients to; nothing else is done for it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from converged import API, API_2
from testinfra.host import Host

RATE = 5.0  # writes a second
BOOKINGS = 5  # every fifth write is a booking, the others are registrations
ATTEMPTS = 3  # of one write, with the same key
PAUSE = 2.0  # seconds between them
PATIENCE = 20.0  # seconds that the client waits for an answer
LOGIN_EVERY = 600.0  # seconds; an access token is good for 900
PASSWORD = "correct horse battery"  # of everybody whom `seed` makes
CREATED = 201
WEEKS = 10  # of free times to book
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
    """The client; runs in a thread of its own between `start` and `close`."""

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

    def knows_client(self) -> bool:
        """Whether the client is known to the API, in whose name visits are booked."""
        return httpx.post(f"{self.url}/api/v1/auth/login", json=CLIENT, trust_env=False).is_success

    def start(self) -> None:
        """Find out what can be booked, and begin to write."""
        with httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False) as client:
            services = client.get("/api/v1/services").raise_for_status().json()
            hourly = next(each for each in services["items"] if each["measures"] == ["hours"])
            self._order = {"service_id": hourly["id"], "hours": 1}
            first = datetime.now(UTC).date() + timedelta(days=1)
            for week in range(WEEKS):
                wish: dict[str, str | int] = {
                    "date": str(first + timedelta(weeks=week)),
                    "days": 7,
                    "duration_minutes": 60,
                }
                found = client.get("/api/v1/availability", params=wish).raise_for_status().json()
                for free in found["days"]:
                    for slot in free["slots"]:
                        if slot["starts_at"].endswith(":00:00Z"):
                            self._starts += [slot["starts_at"]] * slot["cleaners"]
        self._starts.reverse()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write()), name="writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write no more; what is under way still gets its answer."""
        self._ended.set()
        if self._thread:
            self._thread.join(self.attempts * (PATIENCE + PAUSE))

    def between(self, began: float, ended: float) -> list[Request]:
        """The requests that were under way at some moment between these times of time.monotonic()."""
        return [each for each in list(self.requests) if each.ended >= began and each.began <= ended]

    def settle(self, until: float) -> None:
        """Wait for the answers to all requests that began before `until`; their own patience bounds that."""
        while any(began <= until for began in list(self._under_way.values())):
            time.sleep(0.2)

    async def _write(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False, limits=httpx.Limits()) as client:
            await self._log_in(client)
            under_way: set[asyncio.Task[None]] = {asyncio.create_task(self._stay_logged_in(client))}
            number, due = 0, time.monotonic()
            while not self._ended.is_set():
                number, due = number + 1, due + 1 / self.rate
                task = asyncio.create_task(self._send(client, number))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*under_way)

    async def _send(self, client: httpx.AsyncClient, number: int) -> None:
        """Send the request of this number, counted from 1."""
        await (self._book(client, number) if number % BOOKINGS == 0 else self._register(client, number))

    async def _stay_logged_in(self, client: httpx.AsyncClient) -> None:
        due = time.monotonic() + LOGIN_EVERY
        while not self._ended.is_set():
            # Where it fails, the next round tries again.
            if time.monotonic() >= due and await self._log_in(client):
                due = time.monotonic() + LOGIN_EVERY
            await asyncio.sleep(1)

    async def _log_in(self, client: httpx.AsyncClient) -> bool:
        try:
            answer = await client.post(f"{self.url}/api/v1/auth/login", json=CLIENT)
            self._token = answer.raise_for_status().json()["access_token"]
        except httpx.HTTPError:
            return False
        return True

    async def _register(self, client: httpx.AsyncClient, number: int) -> None:
        email = f"{self.name}-{number}@example.com"
        body = {"email": email, "password": PASSWORD, "full_name": "Ledger Example"}
        if await self._acknowledged(client, "/api/v1/auth/register", body):
            self.users.add(email)

    async def _book(self, client: httpx.AsyncClient, number: int) -> None:
        if not self._token or not self._starts:
            return await self._register(client, number)
        address = f"{self.name}-{number}"
        if await self._acknowledged(
            client, "/api/v1/bookings", self._order | {"starts_at": self._starts.pop(), "address": address}
        ):
            self.bookings.add(address)
        return None

    async def _acknowledged(self, client: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> bool:
        """Send one write until it is acknowledged, at most ATTEMPTS times."""
        key = secrets.token_hex(16)
        for attempt in range(self.attempts):
            if attempt:
                await asyncio.sleep(PAUSE)
            headers = {"Idempotency-Key": key}
            if path != "/api/v1/auth/register":
                headers["Authorization"] = f"Bearer {self._token}"
            began = self._under_way[key] = time.monotonic()
            try:
                answer = await client.post(self.url + path, json=body, headers=headers)
                outcome = str(answer.status_code)
                self.replayed += answer.headers.get("Idempotency-Replayed") == "true"
            except httpx.HTTPError as error:
                outcome = type(error).__name__
            self.requests.append(Request(began, time.monotonic(), outcome))
            del self._under_way[key]
            if outcome == str(CREATED):
                return True
        self.given_up += 1
        return False


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
