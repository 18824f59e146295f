"""The office over HTTP: lists, schedule, key figures, notifications and the audit log."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.company import (
    ALWAYS,
    at,
    book,
    day_ahead,
    execute,
    make_cleaner,
    make_service,
    order,
    rows,
    stored,
)
from tests.app.conftest import RunningApi, run_api
from tests.app.people import Person

Json = dict[str, Any]
OFFICE = "/api/v1/office"


class OfficeCompany:
    """Two cleaners, two clients, and the office."""

    def __init__(self, api: RunningApi) -> None:
        self.api = api
        self.service = make_service(api.database)
        self.manager, self.admin = api.person("manager"), api.person("admin")
        self.ann, self.bob = api.person(), api.person()
        self.cleaners = [make_cleaner(api, ALWAYS), make_cleaner(api, ALWAYS)]
        for person, name, phone in ((self.ann, "Ann Petrova", "+14155550101"), (self.bob, "Bob Weber", None)):
            change = {"full_name": name, "phone": phone} if phone else {"full_name": name}
            response = person.http.patch("/api/v1/users/me", json=change, headers={"If-Match": "*"})
            assert response.status_code == 200, response.text

    def book(self, client: Person, starts_at: datetime) -> Json:
        """Book for a client, by the manager."""
        response = book(self.manager.http, order(self.service, starts_at, client_id=client.id))
        assert response.status_code == 201, response.text
        booking: Json = response.json()
        return booking

    def fetch_all(self, path: str, **query: object) -> list[Json]:
        """Fetch all pages of a list, two items a page."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            parameters = {**query, "limit": 2} | ({"cursor": cursor} if cursor else {})
            response = self.admin.http.get(f"{OFFICE}/{path}", params={k: str(v) for k, v in parameters.items()})
            assert response.status_code == 200, response.text
            found += response.json()["items"]
            cursor = response.json()["next_cursor"]
            if cursor is None:
                return found


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[OfficeCompany]:
    """A company of this module, whose mail server is down."""
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "MAIL_FROM": "office@example.com"}
    with run_api(tmp_path_factory.mktemp("office"), migrated, mail) as api:
        yield OfficeCompany(api)


def ids(bookings: list[Json]) -> list[str]:
    return [str(each["id"]) for each in bookings]


def test_bookings_are_filtered_and_searched(company: OfficeCompany) -> None:
    first, second = day_ahead(20), day_ahead(21)
    of_ann = [company.book(company.ann, at(first, hour)) for hour in (8, 10, 12)]
    of_bob = [company.book(company.bob, at(second, hour)) for hour in (8, 10)]
    cancelled = of_ann[1]
    assert company.manager.http.post(f"/api/v1/bookings/{cancelled['id']}/cancel", json={}).status_code == 200
    latest_first = ids(of_bob[::-1] + of_ann[::-1])
    period = {"from": at(first, 0).isoformat(), "to": at(second + timedelta(days=1), 0).isoformat()}
    assert ids(company.fetch_all("bookings", **period)) == latest_first
    assert ids(company.fetch_all("bookings", **period, state="cancelled")) == [cancelled["id"]]
    assert ids(company.fetch_all("bookings", client_id=company.ann.id)) == ids(of_ann[::-1])
    assert ids(company.fetch_all("bookings", client_id=company.ann.id, state="assigned")) == ids([of_ann[2], of_ann[0]])
    for cleaner in company.cleaners:
        expected = [each["id"] for each in of_bob[::-1] + of_ann[::-1] if each["cleaner"]["id"] == cleaner.id]
        assert ids(company.fetch_all("bookings", **period, cleaner_id=cleaner.id)) == expected
    assert ids(company.fetch_all("bookings", **(period | {"to": at(second, 10).isoformat()}))) == ids(
        of_bob[:1] + of_ann[::-1]
    )
    for q in ("ann", "PETROVA", "ann petr", company.ann.email, "+14155550101", "+1415"):
        assert set(ids(company.fetch_all("bookings", q=q))) >= set(ids(of_ann)), q
        assert not set(ids(company.fetch_all("bookings", q=q))) & set(ids(of_bob)), q
    assert ids(company.fetch_all("bookings", q=of_bob[0]["reference"].lower())) == [of_bob[0]["id"]]
    for q in ("nobody", "ann weber", "trova", "%", "_"):
        assert company.fetch_all("bookings", q=q) == [], q


def test_schedule_of_a_day(company: OfficeCompany) -> None:
    """A day lasts from midnight to midnight in BUSINESS_TIMEZONE; a visit over midnight belongs to both days."""
    day = day_ahead(30)
    night = company.book(company.ann, at(day, 0) - timedelta(minutes=30))
    noon = company.book(company.ann, at(day, 12))
    evening = company.book(company.bob, at(day, 23, 30))
    gone = company.book(company.bob, at(day, 15))
    company.manager.http.post(f"/api/v1/bookings/{gone['id']}/cancel", json={})
    company.book(company.bob, at(day, 0) - timedelta(hours=1))  # ends at midnight
    company.book(company.bob, at(day + timedelta(days=1), 0))
    found = company.fetch_all("schedule", date=day)
    assert [each["cleaner_id"] for each in found] == [each.id for each in company.cleaners]
    visits = {each["id"]: cleaner["cleaner_id"] for cleaner in found for each in cleaner["visits"]}
    assert visits == {each["id"]: each["cleaner"]["id"] for each in (night, noon, evening)}
    for cleaner in found:
        starts = [each["starts_at"] for each in cleaner["visits"]]
        assert starts == sorted(starts)


def test_figures_of_a_period(company: OfficeCompany) -> None:
    first = day_ahead(40)
    ann, bob = company.cleaners
    _insert(company, at(first, 0), 60, ann, state="completed", price=10000)
    second, third = at(first + timedelta(days=1), 9), at(first + timedelta(days=2), 9)
    _insert(company, second, 90, ann, state="completed", price=5500)
    _insert(company, second, 60, bob, state="completed", price=3000)
    _insert(company, second, 60, bob, state="cancelled", price=8000, cancellation_fee=4000)
    _insert(company, second, 60, None, state="cancelled", price=8000)
    _insert(company, third, 120, bob, state="no_show", price=7000)
    _insert(company, third, 30, bob, state="assigned", price=9000)
    _insert(company, third, 30, None, state="requested", price=9000)
    _insert(company, at(first, 0) - timedelta(minutes=30), 60, ann, state="completed", price=99)
    _insert(company, at(first + timedelta(days=3), 0), 60, ann, state="completed", price=99)
    query = {"from": str(first), "to": str(first + timedelta(days=2))}
    found = company.manager.http.get(f"{OFFICE}/figures", params=query).json()
    assert found["bookings"] == 8
    assert found["by_state"] == {
        "requested": 1, "confirmed": 0, "assigned": 1, "in_progress": 0, "completed": 3, "cancelled": 2, "no_show": 1,
    }  # fmt: skip
    assert (found["cancellations"], found["revenue"], found["currency"]) == (2, 10000 + 5500 + 3000 + 4000, "EUR")
    assert [(each["cleaner_id"], each["minutes"]) for each in found["load"]] == [(bob.id, 210), (ann.id, 150)]
    for wrong in (
        {"from": str(first), "to": str(first - timedelta(days=1))},
        {"from": "2026-01-01", "to": "2027-02-01"},
    ):
        assert company.manager.http.get(f"{OFFICE}/figures", params=wrong).status_code == 422


def _insert(company: OfficeCompany, start: datetime, minutes: int, cleaner: Person | None, **values: object) -> None:
    now = stored(datetime.now(UTC))
    row = {
        "id": str(uuid.uuid4()),
        "reference": uuid.uuid4().hex[:10].upper(),
        "client_id": company.bob.id,
        "cleaner_id": cleaner.id if cleaner else None,
        "service_id": company.service,
        "service_name": "x",
        "starts_at": stored(start),
        "ends_at": stored(start + timedelta(minutes=minutes)),
        "address": "x",
        "notes": "",
        "currency": "EUR",
        "quote": "{}",
        "cancellation_fee": 0,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    } | values
    columns, places = ", ".join(row), ", ".join("?" * len(row))
    execute(company.api.database, f"INSERT INTO booking ({columns}) VALUES ({places})", *row.values())  # noqa: S608


def test_dead_letter_can_be_retried(company: OfficeCompany) -> None:
    message, now = str(uuid.uuid4()), stored(datetime.now(UTC))
    execute(
        company.api.database,
        "INSERT INTO outbox_message (id, channel, account_id, recipient, template, subject, body, state, attempts,"
        " due_at, last_error, created_at)"
        " VALUES (?, 'email', ?, 'x@example.com', 'x', 'x', 'secret', 'dead', 9, ?, 'refused', ?)",
        *(message, company.ann.id, now, now),
    )
    (dead,) = company.fetch_all("notifications")
    assert (dead["id"], dead["attempts"], dead["last_error"]) == (message, 9, "refused")
    assert "secret" not in str(dead)
    retried = company.manager.http.post(f"{OFFICE}/notifications/{message}/retry")
    assert (retried.json()["state"], retried.json()["attempts"]) == ("pending", 0)
    assert company.fetch_all("notifications") == []
    assert message in ids(company.fetch_all("notifications", state="pending"))
    again = company.manager.http.post(f"{OFFICE}/notifications/{message}/retry")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/not-dead")
    assert company.manager.http.post(f"{OFFICE}/notifications/{uuid.uuid4()}/retry").status_code == 404
    assert [each["action"] for each in company.fetch_all("audit", subject_id=message)] == ["message.revived"]


def test_audit_log_lists_actors_and_actions(company: OfficeCompany) -> None:
    person = company.api.person()
    change = {"role": "cleaner"}
    path = f"/api/v1/users/{person.id}"
    assert company.admin.http.patch(path, json=change, headers={"If-Match": "*"}).status_code == 200
    credentials = {"email": person.email, "password": "wrong"}
    assert company.api.anonymous.post("/api/v1/auth/login", json=credentials).status_code == 401
    found = [(each["action"], each["actor_id"]) for each in company.fetch_all("audit", subject_id=person.id)]
    assert found == [("login.failed", None), ("role.changed", company.admin.id), ("login.succeeded", person.id)]
    (entry,) = company.fetch_all("audit", subject_id=person.id, action="role.changed")
    assert (entry["details"]["before"], entry["details"]["after"]) == ("client", "cleaner")
    assert entry["address"] == "127.0.0.1"
    assert entry["request_id"]
    mine = company.fetch_all("audit", actor_id=person.id)
    assert {each["action"] for each in mine} == {"login.succeeded"}
    everything = company.fetch_all("audit")
    assert [each["id"] for each in everything] == sorted((each["id"] for each in everything), reverse=True)
    assert len(everything) == rows(company.api.database, "SELECT count(*) FROM audit_entry")[0][0]
