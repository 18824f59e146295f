"""Booking over HTTP: assignment, booking times, idempotency, lists and access."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.app.bookings.conftest import Company, assert_problem, post_action
from tests.app.company import at, book, day_ahead, execute, make_extra, order, rows

HOUR = timedelta(hours=1)


def cleaner_of(booking: dict[str, object]) -> str:
    cleaner = booking["cleaner"]
    assert isinstance(cleaner, dict)
    return str(cleaner["id"])


def test_cleaner_least_loaded_on_the_day_then_in_the_week_is_assigned(company: Company) -> None:
    ann, bob = company.hire(), company.hire()
    monday = day_ahead(7 + (-datetime.now(UTC).weekday()) % 7)
    first = company.book(at(monday, 10))
    second = company.book(at(monday, 10), allow_duplicate=True)
    assert {cleaner_of(first), cleaner_of(second)} == {ann.id, bob.id}
    # Both cleaners have one hour on Monday. One more hour makes the other cleaner less loaded, that day and that week.
    busy = cleaner_of(company.book(at(monday, 12)))
    idle = ({ann.id, bob.id} - {busy}).pop()
    assert cleaner_of(company.book(at(monday, 14))) == idle
    busy = cleaner_of(company.book(at(monday, 16)))
    idle = ({ann.id, bob.id} - {busy}).pop()
    assert cleaner_of(company.book(at(monday + timedelta(days=1), 10))) == idle


def test_reassignment_ignores_the_load_of_the_booking_itself(company: Company) -> None:
    ann, bob = company.hire(), company.hire()
    monday = day_ahead(7 + (-datetime.now(UTC).weekday()) % 7)
    extra = make_extra(company.api.database, company.service)
    long = company.book(at(monday, 10), extras=[{"extra_id": extra, "quantity": 1}])
    short = company.book(at(monday + timedelta(days=1), 10))
    for booking, cleaner in ((long, ann), (short, bob)):
        assert post_action(company.manager, booking, "assign", {"cleaner_id": cleaner.id}).is_success
    # That week Ann has less to do than Bob without this booking, and more with it.
    again = post_action(company.manager, long, "assign", {"cleaner_id": None})
    assert again.status_code == 200, again.text
    assert cleaner_of(again.json()) == ann.id


def test_booking_is_refused_if_no_cleaner_is_free(company: Company, noon: datetime) -> None:
    body = order(company.service, noon, allow_duplicate=True)
    assert_problem(book(company.client.http, body), 409, "slot-unavailable")
    company.hire({noon.weekday(): [(12 * 60, 13 * 60)]})
    assert_problem(
        book(company.client.http, order(company.service, noon + timedelta(minutes=30))), 409, "slot-unavailable"
    )
    company.book(noon)
    assert_problem(book(company.client.http, body | {"allow_duplicate": True}), 409, "slot-unavailable")
    assert rows(company.api.database, "SELECT count(*) FROM booking WHERE client_id = ?", company.client.id) == [(1,)]


def test_booking_stores_quote_and_price(company: Company, noon: datetime) -> None:
    company.hire()
    extra = make_extra(company.api.database, company.service)
    booking = company.book(noon, extras=[{"extra_id": extra, "quantity": 2}])
    assert (booking["price"], booking["currency"], booking["duration_minutes"]) == (13000, "EUR", 120)
    assert [(item["kind"], item["quantity"], item["amount"]) for item in booking["quote"]["items"]] == [
        ("base", 1, 10000),
        ("extra", 2, 3000),
    ]
    assert datetime.fromisoformat(booking["starts_at"]) == noon
    assert datetime.fromisoformat(booking["free_cancellation_until"]) == noon - 24 * HOUR
    assert (booking["state"], booking["client"]["id"]) == ("assigned", company.client.id)
    response = company.client.http.get(f"/api/v1/bookings/{booking['id']}")
    assert response.json() == booking
    assert response.headers["ETag"] == '"1"'
    assert booking["version"] == 1


def test_notice_and_horizon(company: Company) -> None:
    company.hire()
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    soon, far = order(company.service, now + HOUR), order(company.service, now + timedelta(days=91))
    assert_problem(book(company.client.http, soon), 409, "too-soon")
    assert_problem(book(company.client.http, far), 409, "too-late")
    company.book_soon(now + HOUR)
    past = order(company.service, now - HOUR, client_id=company.client.id)
    assert_problem(book(company.manager.http, past), 409, "too-soon")
    late = order(company.service, now + timedelta(days=91), client_id=company.client.id)
    assert_problem(book(company.manager.http, late), 409, "too-late")


def test_repeated_order_books_once(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    key, body = str(uuid.uuid4()), order(company.service, noon)
    first, again = book(company.client.http, body, key), book(company.client.http, body, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert_problem(book(company.client.http, body | {"notes": "other"}, key), 422, "idempotency-key-reused")
    assert rows(company.api.database, "SELECT count(*) FROM booking WHERE client_id = ?", company.client.id) == [(1,)]
    # Keys are scoped by account.
    other = company.api.person()
    assert book(other.http, body, key).json()["id"] != first.json()["id"]


def test_response_stored_by_older_release_is_replayed(company: Company, noon: datetime) -> None:
    company.hire()
    key, body = str(uuid.uuid4()), order(company.service, noon)
    first = book(company.client.http, body, key).json()
    execute(
        company.api.database,
        "UPDATE idempotency_record SET answer = json_remove(answer, '$.version') WHERE key = ?",
        key,
    )
    again = book(company.client.http, body, key)
    assert (again.status_code, again.json(), again.headers["ETag"]) == (201, first, '"1"')


def test_order_requires_idempotency_key(company: Company, noon: datetime) -> None:
    response = company.client.http.post("/api/v1/bookings", json=order(company.service, noon))
    errors = assert_problem(response, 422, "validation-failed")["errors"]
    assert [(each["location"], each["field"].lower()) for each in errors] == [("header", "idempotency-key")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"service_id": str(uuid.uuid4())}, "service_id"),
        ({"starts_at": "2026-12-01T10:15:00Z"}, "starts_at"),
        ({"starts_at": "2026-12-01T10:00:00"}, "starts_at"),
        ({"starts_at": 1_800_000_000}, "starts_at"),
        ({"address": " "}, "address"),
        ({"notes": "x" * 1001}, "notes"),
        ({"price": 1}, "price"),
    ],
)
def test_invalid_order_is_refused(company: Company, noon: datetime, change: dict[str, object], field: str) -> None:
    response = book(company.client.http, order(company.service, noon) | change)
    assert [each["field"] for each in assert_problem(response, 422, "validation-failed")["errors"]] == [field]


def test_client_id_is_required_from_office_only(company: Company, noon: datetime) -> None:
    company.hire()
    for client_id in (company.client.id, company.manager.id):
        response = book(company.client.http, order(company.service, noon, client_id=client_id))
        assert assert_problem(response, 422, "validation-failed")["errors"][0]["field"] == "client_id"
    invalid: tuple[str | None, ...] = (None, company.manager.id, str(uuid.uuid4()))
    for invalid_id in invalid:
        response = book(company.manager.http, order(company.service, noon, client_id=invalid_id))
        assert assert_problem(response, 422, "validation-failed")["errors"][0]["field"] == "client_id"
    assert company.book_soon(noon)["client"]["id"] == company.client.id


def test_list_pages_contain_each_booking_once(company: Company) -> None:
    company.hire()
    company.hire()
    booked = [
        company.book(at(day_ahead(10 + number // 4), 8 + number % 4 // 2), allow_duplicate=True) for number in range(11)
    ]
    expected = [each["id"] for each in sorted(booked, key=lambda each: (each["starts_at"], each["id"]), reverse=True)]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = company.client.http.get(f"/api/v1/bookings?limit=2{cursor and f'&cursor={cursor}'}").json()
        assert len(page["items"]) == min(2, 11 - len(found))
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert found == expected
    start, end = at(day_ahead(11), 0), at(day_ahead(12), 0)
    wanted = {"from": start.isoformat(), "to": end.isoformat(), "state": "assigned"}
    days = company.client.http.get("/api/v1/bookings", params=wanted).json()["items"]
    assert {each["id"] for each in days} == {each["id"] for each in booked[4:8]}
    assert company.client.http.get("/api/v1/bookings?state=cancelled").json()["items"] == []
    assert company.api.person().http.get("/api/v1/bookings").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
        ("state=x", "state.0"),
        ("state=assigned&state=", "state.1"),
        ("from=yesterday", "from"),
        ("to=2026-01-01", "to"),
        ("from=2026-01-01T00:00:00Z&from=2027-01-01T00:00:00Z", "from"),
        ("cleaner_id=x", "cleaner_id"),
    ],
)
def test_invalid_list_query_is_refused(company: Company, query: str, field: str) -> None:
    response = company.client.http.get(f"/api/v1/bookings?{query}")
    errors = assert_problem(response, 422, "validation-failed")["errors"]
    assert [(each["location"], each["field"]) for each in errors] == [("query", field)]


def test_other_clients_cannot_access_booking(company: Company, noon: datetime) -> None:
    cleaner, other = company.hire(), company.api.person()
    booking = company.book(noon)
    path = f"/api/v1/bookings/{booking['id']}"
    for each in (path, f"{path}/history"):
        assert_problem(other.http.get(each), 404, "not-found")
        assert cleaner.http.get(each).status_code == 200
    assert_problem(other.http.post(f"{path}/cancel", json={}), 404, "not-found")
    assert [each["id"] for each in cleaner.http.get("/api/v1/bookings").json()["items"]] == [booking["id"]]
