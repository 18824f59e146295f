"""Erasure of an account: personal data in every column of every table."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.app.accounts.conftest import rows
from tests.app.accounts.test_registration import log_in
from tests.app.company import at, day_ahead, make_cleaner, make_service, only_new_cleaners, order
from tests.app.conftest import RunningApi, free_port, run_api
from tests.app.people import Person

ME, BOOKINGS = "/api/v1/users/me", "/api/v1/bookings"
CLIENTS_ADDRESS, OFFICES_ADDRESS = "203.0.113.77", "198.51.100.5"
ANY = {"If-Match": "*"}


@dataclass
class PersonalData:
    """Personal data of a user."""

    email: str
    name: str
    phone: str = "+4915550123456"
    home: str = "Cherry Lane 77"
    notes: str = "The key is under the blue stone"
    reason: str = "My aunt Hortensia is ill"
    address: str = CLIENTS_ADDRESS

    def found(self, api: RunningApi) -> list[str]:
        """Each table and column of the database that contains one of the values."""
        tables = [str(name) for (name,) in rows(api, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [
            f"{table}.{column} has {value}"
            for table in tables
            for _, column, *_ in rows(api, f"PRAGMA table_info({table})")
            for value in vars(self).values()
            if rows(api, f"SELECT 1 FROM {table} WHERE instr(CAST({column} AS TEXT), ?)", value)  # noqa: S608
        ]


def erase(person: Person) -> None:
    answer = person.http.post(f"{ME}/erase", json={"current_password": person.password})
    assert answer.status_code == 204, answer.text


@pytest.fixture(scope="module")
def mailing_api(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[RunningApi]:
    """An API whose mail server does not exist, so messages stay in the outbox."""
    settings = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(free_port()), "MAIL_FROM": "bookings@example.com"}
    with run_api(tmp_path_factory.mktemp("erasure"), migrated, settings) as api:
        yield api


def messages_to(api: RunningApi, person: Person) -> list[tuple[str, str, str]]:
    """Template, state and text of each message to the person."""
    query = "SELECT template, state, body FROM outbox_message WHERE account_id = ? ORDER BY created_at, rowid"
    return [(str(template), str(state), str(body)) for template, state, body in rows(api, query, person.id)]


def test_erasure_of_a_client_removes_all_traces(mailing_api: RunningApi) -> None:
    api = mailing_api
    manager, client = api.person("manager"), api.person()
    manager.http.headers["X-Forwarded-For"] = OFFICES_ADDRESS
    client.http.headers["X-Forwarded-For"] = CLIENTS_ADDRESS
    personal_data = PersonalData(client.email, f"Walburga {uuid.uuid4().hex}")
    change = {"full_name": personal_data.name, "phone": personal_data.phone}
    assert client.http.patch(ME, json=change, headers=ANY).status_code == 200
    cleaner, service = make_cleaner(api), make_service(api.database)
    personal = {"address": personal_data.home, "notes": personal_data.notes}
    own = order(service, at(day_ahead(5), 10), **personal)
    by_office = order(service, at(day_ahead(6), 10), client_id=client.id, **personal)
    to_cancel = order(service, at(day_ahead(7), 10), **personal)
    with only_new_cleaners(api.database):
        rows(api, "UPDATE cleaner SET is_bookable = 1 WHERE account_id = ?", cleaner.id)
        booked = [
            person.http.post(BOOKINGS, json=body, headers={"Idempotency-Key": str(uuid.uuid4())}).json()
            for person, body in ((client, own), (manager, by_office), (client, to_cancel))
        ]
    cancelled = client.http.post(
        f"{BOOKINGS}/{booked[2]['id']}/cancel", json={"reason": personal_data.reason}, headers=ANY
    )
    assert cancelled.status_code == 200, cancelled.text
    login = {"email": client.email, "password": client.password}
    client.http.post("/api/v1/auth/login", json=login | {"password": "wrong horse battery"})
    client.http.post("/api/v1/auth/login", json=login)
    client.http.post("/api/v1/auth/password/forgot", json={"email": client.email})
    query = "UPDATE outbox_message SET state = 'dead' WHERE account_id = ? AND body LIKE ? RETURNING 1"
    assert rows(api, query, cleaner.id, f"%{booked[1]['reference']}%")
    assert {each.split(".")[0] for each in personal_data.found(api)} == {
        *("account_term", "audit_entry", "booking", "booking_event", "idempotency_record", "login_session"),
        *("one_time_token", "outbox_message", "user_account"),
    }
    office = "SELECT count(*) FROM audit_entry WHERE actor_id = ? AND address = ?"
    assert rows(api, office, manager.id, OFFICES_ADDRESS) == [(1,)]

    erase(client)

    assert personal_data.found(api) == []
    assert rows(api, office, manager.id, OFFICES_ADDRESS) == [(1,)]
    messages = messages_to(api, cleaner)
    assert [template for template, *_ in messages] == [
        *("visit_assigned", "visit_assigned", "visit_assigned"),
        *("visit_cancelled", "visit_cancelled", "visit_cancelled"),
    ]
    for _, state, body in messages:
        reference = next(each["reference"] for each in booked if each["reference"] in body)
        assert f"Booking: {reference}\n" in body
        assert "When: " in body
        assert body.startswith("Hello Ann,")
        assert "\n\n\n" not in body
        assert state == ("dead" if reference == booked[1]["reference"] and "new visit" in body else "pending")
    assert log_in(api.anonymous, login).status_code == 401


def test_erasure_of_a_cleaner_cleans_messages_to_clients(mailing_api: RunningApi) -> None:
    api = mailing_api
    client, cleaner, manager = api.person(), make_cleaner(api), api.person("manager")
    personal_data = PersonalData(cleaner.email, f"Kunigunde{uuid.uuid4().hex}", reason="Operation on the knee")
    cleaner.http.headers["X-Forwarded-For"] = CLIENTS_ADDRESS
    change = {"full_name": personal_data.name, "phone": personal_data.phone}
    assert cleaner.http.patch(ME, json=change, headers=ANY).status_code == 200
    day_off = {"first_day": str(day_ahead(40)), "last_day": str(day_ahead(41)), "reason": personal_data.reason}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    path = f"/api/v1/cleaners/{cleaner.id}/days-off"
    assert manager.http.post(path, json=day_off, headers=key).status_code == 201
    with only_new_cleaners(api.database):
        rows(api, "UPDATE cleaner SET is_bookable = 1 WHERE account_id = ?", cleaner.id)
        body = order(make_service(api.database), at(day_ahead(8), 10))
        booked = client.http.post(BOOKINGS, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
        assert booked.json()["cleaner"]["full_name"] == personal_data.name
        erase(cleaner)
    # The stored answer to the client's own request stays for a day, because the client may repeat the request.
    assert [each for each in personal_data.found(api) if "idempotency_record.answer" not in each] == []
    ((_, _, body_text),) = messages_to(api, client)
    assert "Where: Main Street 5\n" in body_text
    assert "Cleaner" not in body_text


def test_export_contains_the_audit_log(api: RunningApi) -> None:
    person, admin = api.person(), api.person("admin")
    person.http.headers["X-Forwarded-For"] = CLIENTS_ADDRESS
    admin.http.headers["X-Forwarded-For"] = OFFICES_ADDRESS
    login = {"email": person.email, "password": "wrong horse battery"}
    assert person.http.post("/api/v1/auth/login", json=login).status_code == 401
    change = {"role": "cleaner"}
    assert admin.http.patch(f"/api/v1/users/{person.id}", json=change, headers=ANY).status_code == 200
    activity = person.http.get(f"{ME}/export").json()["activity"]
    assert [(each["action"], each["address"]) for each in activity] == [
        ("role.changed", None),
        ("login.failed", CLIENTS_ADDRESS),
        ("login.succeeded", "127.0.0.1"),
    ]
    assert activity[0]["details"] == {"before": "client", "after": "cleaner"}


def test_erasure_removes_only_the_users_network_addresses_from_the_audit_log(api: RunningApi) -> None:
    person, other = api.person(), api.person()
    count = "SELECT count(*), count(address) FROM audit_entry WHERE actor_id = ?"
    ((before, _),) = rows(api, count, person.id)
    erase(person)
    ((after, addresses),) = rows(api, count, person.id)
    assert int(str(after)) > int(str(before))
    assert addresses == 0
    assert rows(api, count, other.id) == [(1, 1)]
