"""A valid request for every operation of the API, which succeeds for every caller with permission."""

import hashlib
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
from pysqlite3 import dbapi2

from app.kit.tokens import Tokens
from app.settings import Settings
from tests.app.company import ALWAYS, execute, make_extra, make_service, stored, work_at
from tests.app.conftest import SECRET_KEY, RunningApi
from tests.app.people import Person

API = "/api/v1"
TOKENS = Tokens(Settings(secret_key=SECRET_KEY, canary_token="c" * 32))


@dataclass
class Call:
    """A request."""

    method: str
    path: str
    json: object = None
    form: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    needs_new_caller: bool = False
    """The request makes its caller unusable for further requests, so it needs a new user."""

    def send(self, http: httpx.Client, token: str | None) -> httpx.Response:
        """Send the request with this access token."""
        headers = self.headers | ({"Authorization": f"Bearer {token}"} if token else {})
        return http.request(self.method, self.path, json=self.json, data=self.form, headers=headers)


class World:
    """A small company in a running API: users of each role, a service, and test data for requests."""

    def __init__(self, api: RunningApi) -> None:
        self.api = api
        self.http = api.client()
        self.database: Path = api.server.database
        self.client, self.other_client = api.person("client"), api.person("client")
        self.cleaner, self.other_cleaner = api.person("cleaner"), api.person("cleaner")
        self.manager, self.admin = api.person("manager"), api.person("admin")
        for cleaner in (self.cleaner, self.other_cleaner):
            work_at(self.database, cleaner.id, ALWAYS)
        self.acting: Person | None = None
        """The user who sends the next request."""
        self.service = make_service(self.database, position=-1)
        self._starts = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=2)

        self._past_day = date(2025, 12, 1)

    def callers(self) -> dict[str, Person | None]:
        """The callers by column of the table in docs/api.md; None is not signed in."""
        return {
            "nobody": None,
            "client": self.client,
            "other client": self.other_client,
            "cleaner": self.cleaner,
            "other cleaner": self.other_cleaner,
            "manager": self.manager,
            "admin": self.admin,
        }

    def session(self, person: Person) -> str:
        """Insert a session, which is faster than a login, and return its id."""
        session, now = str(uuid.uuid4()), datetime.now(UTC)
        execute(
            self.database,
            "INSERT INTO login_session (id, account_id, user_agent, created_at, used_at, expires_at)"
            " VALUES (?, ?, 'tests', ?, ?, ?)",
            *(session, person.id, stored(now), stored(now), stored(now + timedelta(days=1))),
        )
        return session

    def token(self, person: Person) -> str:
        """Return the access token of a new session."""
        return TOKENS.issue(person.id, self.session(person))

    def refresh_token(self) -> str:
        """Insert a refresh token of the client, and return it."""
        secret = uuid.uuid4().hex + uuid.uuid4().hex[:11]
        execute(
            self.database,
            "INSERT INTO refresh_token (token_hash, session_id, created_at) VALUES (?, ?, ?)",
            *(_digest(secret), self.session(self.client), stored(datetime.now(UTC))),
        )
        return secret

    def code(self, purpose: str) -> str:
        """Insert a one-time token of a new user, and return it."""
        person, secret = self.api.person(), uuid.uuid4().hex + uuid.uuid4().hex[:11]
        execute(
            self.database,
            "INSERT INTO one_time_token (token_hash, account_id, purpose, email, expires_at) VALUES (?, ?, ?, ?, ?)",
            *(_digest(secret), person.id, purpose, person.email, stored(datetime.now(UTC) + timedelta(hours=1))),
        )
        return secret

    def next_start(self) -> datetime:
        """Return a time without visits."""
        self._starts += timedelta(hours=2)
        return self._starts

    def booking(self, state: str, *, begins_now: bool = False) -> str:
        """Insert a booking of the client in this state, and return its id."""
        booking = str(uuid.uuid4())
        starts = datetime.now(UTC) - timedelta(minutes=1) if begins_now else self.next_start()
        now = stored(datetime.now(UTC))
        cleaner = None if state in {"requested", "confirmed"} else self.cleaner.id
        with closing(dbapi2.connect(self.database, timeout=20)) as connection, connection:
            connection.execute(
                "INSERT INTO booking (id, reference, client_id, cleaner_id, service_id, service_name, state, starts_at,"
                " ends_at, address, notes, price, currency, quote, cancellation_fee, version, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, 'Cleaning', ?, ?, ?, 'Street 1', '', 10000, 'EUR', ?, 0, 1, ?, ?)",
                (
                    *(booking, uuid.uuid4().hex[:8].upper(), self.client.id, cleaner, self.service, state),
                    *(stored(starts), stored(starts + timedelta(hours=1)), QUOTE, now, now),
                ),
            )
            connection.execute(
                "INSERT INTO booking_event (booking_id, at, kind, state, details) VALUES (?, ?, 'requested', ?, '{}')",
                (booking, now, state),
            )
        return booking

    def review(self) -> str:
        """Insert a booking with a review, and return its id."""
        booking = self.booking("completed")
        execute(
            self.database,
            "INSERT INTO review (booking_id, client_id, cleaner_id, stars, comment, created_at)"
            " VALUES (?, ?, ?, 5, '', ?)",
            *(booking, self.client.id, self.cleaner.id, stored(datetime.now(UTC))),
        )
        return booking

    def past_days_off(self) -> dict[str, str]:
        """Return two past days that are not days off yet."""
        self._past_day -= timedelta(days=1)
        return {"first_day": str(self._past_day), "last_day": str(self._past_day + timedelta(days=1))}

    def day_off(self) -> str:
        """Insert past days off of the cleaner, and return their id."""
        identifier = str(uuid.uuid4())
        execute(
            self.database,
            "INSERT INTO day_off (id, cleaner_id, first_day, last_day, reason, created_at)"
            " VALUES (?, ?, '2026-01-01', '2026-01-02', '', ?)",
            *(identifier, self.cleaner.id, stored(datetime.now(UTC))),
        )
        return identifier

    def dead_letter(self) -> str:
        """Insert a message that could not be sent, and return its id."""
        identifier, now = str(uuid.uuid4()), stored(datetime.now(UTC))
        execute(
            self.database,
            "INSERT INTO outbox_message (id, channel, recipient, template, subject, body, state, attempts, due_at,"
            " created_at) VALUES (?, 'email', 'x@example.com', 'x', 'x', 'x', 'dead', 6, ?, ?)",
            *(identifier, now, now),
        )
        return identifier


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


QUOTE = '{"items": [], "square_metres": null, "rooms": null, "hours": null}'
ANY_VERSION = {"If-Match": "*"}


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def _get(path: str) -> Callable[[World], Call]:
    return lambda _: Call("GET", path)


def _post(booking_state: str, verb: str, body: object = None, *, begins_now: bool = False) -> Callable[[World], Call]:
    return lambda world: Call(
        "POST", f"{API}/bookings/{world.booking(booking_state, begins_now=begins_now)}/{verb}", json=body
    )


def _order(world: World) -> dict[str, str]:
    """The body of a booking, by the client or by the office for the client."""
    order = {"service_id": world.service, "starts_at": world.next_start().isoformat(), "address": "Street 1"}
    by_office = world.acting is not None and world.acting.role in {"manager", "admin"}
    return order | ({"client_id": world.client.id} if by_office else {})


def _email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


PASSWORD = "correct horse battery"
OPERATIONS: dict[str, Callable[[World], Call]] = {
    "health": _get("/health"),
    "live": _get("/health/live"),
    "ready": _get("/health/ready"),
    "register": lambda _: Call(
        "POST", f"{API}/auth/register", {"email": _email(), "password": PASSWORD, "full_name": "New"}, headers=_key()
    ),
    "login": lambda world: Call("POST", f"{API}/auth/login", {"email": world.client.email, "password": PASSWORD}),
    "login_form": lambda world: Call(
        "POST", f"{API}/auth/token", form={"username": world.client.email, "password": PASSWORD}
    ),
    "refresh": lambda world: Call("POST", f"{API}/auth/refresh", {"refresh_token": world.refresh_token()}),
    "logout": lambda _: Call("POST", f"{API}/auth/logout"),
    "logout_everywhere": lambda _: Call("POST", f"{API}/auth/logout-everywhere"),
    "verify_email": lambda world: Call("POST", f"{API}/auth/email/verify", {"token": world.code("verify_email")}),
    "resend_verification": lambda _: Call("POST", f"{API}/auth/email/resend", {"email": _email()}),
    "forgot_password": lambda _: Call("POST", f"{API}/auth/password/forgot", {"email": _email()}),
    "reset_password": lambda world: Call(
        "POST", f"{API}/auth/password/reset", {"token": world.code("reset_password"), "new_password": PASSWORD}
    ),
    "read_me": _get(f"{API}/users/me"),
    "change_me": lambda _: Call("PATCH", f"{API}/users/me", {"full_name": "Ann"}, headers=ANY_VERSION),
    "change_password": lambda _: Call(
        "POST",
        f"{API}/users/me/password",
        {"current_password": PASSWORD, "new_password": PASSWORD + "!"},
        needs_new_caller=True,
    ),
    "change_email": lambda _: Call(
        "POST", f"{API}/users/me/email", {"current_password": PASSWORD, "new_email": _email()}, needs_new_caller=True
    ),
    "erase_me": lambda _: Call("POST", f"{API}/users/me/erase", {"current_password": PASSWORD}, needs_new_caller=True),
    "export_me": _get(f"{API}/users/me/export"),
    "list_sessions": _get(f"{API}/users/me/sessions"),
    "end_session": lambda world: Call("DELETE", f"{API}/users/me/sessions/{world.session(world.client)}"),
    "list_users": _get(f"{API}/users?q=ann&role=client"),
    "read_user": lambda world: Call("GET", f"{API}/users/{world.client.id}"),
    "change_user": lambda world: Call(
        "PATCH", f"{API}/users/{world.client.id}", {"is_active": True}, headers=ANY_VERSION
    ),
    "list_services": _get(f"{API}/services"),
    "read_service": lambda world: Call("GET", f"{API}/services/{world.service}"),
    "read_extra": lambda world: Call(
        "GET", f"{API}/services/{world.service}/extras/{make_extra(world.database, world.service)}"
    ),
    "list_all_services": _get(f"{API}/office/services"),
    "add_service": lambda _: Call("POST", f"{API}/services", {"name": "New", "is_active": False}, headers=_key()),
    "change_service": lambda world: Call(
        "PATCH", f"{API}/services/{world.service}", {"description": uuid.uuid4().hex}, headers=ANY_VERSION
    ),
    "add_extra": lambda world: Call(
        "POST", f"{API}/services/{make_service(world.database, is_active=0)}/extras", {"name": "Oven"}, headers=_key()
    ),
    "change_extra": lambda world: Call(
        "PATCH",
        f"{API}/services/{world.service}/extras/{make_extra(world.database, world.service)}",
        {"price": 1},
        headers=ANY_VERSION,
    ),
    "quote": lambda world: Call("POST", f"{API}/quotes", {"service_id": world.service}),
    "read_availability": lambda world: Call(
        "GET", f"{API}/availability?date={world.next_start().date()}&duration_minutes=60"
    ),
    "list_cleaners": _get(f"{API}/cleaners"),
    "read_cleaner": lambda world: Call("GET", f"{API}/cleaners/{world.cleaner.id}"),
    "read_working_hours": lambda world: Call("GET", f"{API}/cleaners/{world.cleaner.id}/working-hours"),
    "replace_working_hours": lambda world: Call(
        "PUT",
        f"{API}/cleaners/{world.cleaner.id}/working-hours",
        {"hours": [{"weekday": day, "starts": "00:00", "ends": "24:00"} for day in range(7)]},
        headers=ANY_VERSION,
    ),
    "list_days_off": lambda world: Call("GET", f"{API}/cleaners/{world.cleaner.id}/days-off"),
    "add_day_off": lambda world: Call(
        "POST",
        f"{API}/cleaners/{world.cleaner.id}/days-off",
        world.past_days_off() | {"reason": "Holiday"},
        headers=_key(),
    ),
    "remove_day_off": lambda world: Call("DELETE", f"{API}/cleaners/{world.cleaner.id}/days-off/{world.day_off()}"),
    "create_booking": lambda world: Call("POST", f"{API}/bookings", _order(world), headers=_key()),
    "list_my_bookings": _get(f"{API}/bookings?state=assigned&from=2026-01-01T00:00:00Z"),
    "read_booking": lambda world: Call("GET", f"{API}/bookings/{world.booking('assigned')}"),
    "read_booking_history": lambda world: Call("GET", f"{API}/bookings/{world.booking('assigned')}/history"),
    "change_booking": lambda world: Call(
        "PATCH", f"{API}/bookings/{world.booking('assigned')}", {"notes": "Knock"}, headers=ANY_VERSION
    ),
    "reschedule_booking": lambda world: Call(
        "POST",
        f"{API}/bookings/{world.booking('assigned')}/reschedule",
        {"starts_at": world.next_start().isoformat()},
        headers=ANY_VERSION,
    ),
    "cancel_booking": _post("assigned", "cancel", {"reason": "Ill"}),
    "confirm_booking": _post("requested", "confirm"),
    "assign_booking": _post("confirmed", "assign", {"cleaner_id": None}),
    "start_booking": _post("assigned", "start", begins_now=True),
    "complete_booking": _post("in_progress", "complete", begins_now=True),
    "miss_booking": _post("assigned", "no-show", begins_now=True),
    "add_review": lambda world: Call(
        "POST", f"{API}/bookings/{world.booking('completed')}/review", {"stars": 5}, headers=_key()
    ),
    "read_review": lambda world: Call("GET", f"{API}/bookings/{world.review()}/review"),
    "list_reviews": lambda world: Call("GET", f"{API}/cleaners/{world.cleaner.id}/reviews"),
    "list_bookings": _get(f"{API}/office/bookings?q=ann&from=2026-01-01T00:00:00Z"),
    "read_schedule": lambda world: Call("GET", f"{API}/office/schedule?date={world.next_start().date()}"),
    "read_figures": _get(f"{API}/office/figures?from=2026-01-01&to=2026-12-31"),
    "list_notifications": _get(f"{API}/office/notifications?state=pending"),
    "retry_notification": lambda world: Call("POST", f"{API}/office/notifications/{world.dead_letter()}/retry"),
    "read_audit_log": _get(f"{API}/office/audit?action=login.succeeded"),
}
