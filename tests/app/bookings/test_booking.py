"""Booking over HTTP: who is sent, when that is possible, and what a repeated order does."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.app.bookings.conftest import Company, problem
from tests.app.company import at, book, day_ahead, execute, make_extra, order, rows

HOUR = timedelta(hours=1)


def cleaner_of(booking: dict[str, object]) -> str:
    cleaner = booking["cleaner"]
    assert isinstance(cleaner, dict)
    return str(cleaner["id"])


def test_the_least_loaded_of_the_day_goes_then_of_the_week(company: Company) -> None:
    ann, bob = company.hire(), company.hire()
    monday = day_ahead(7 + (-datetime.now(UTC).weekday()) % 7)  # with days before and after it in one week
    first = company.book(at(monday, 10))
    second = company.book(at(monday, 10), allow_duplicate=True)
    assert {cleaner_of(first), cleaner_of(second)} == {ann.id, bob.id}
    # Both have an hour on Monday; one more there makes the other the less loaded one, of the day and then of the week.
    busy = cleaner_of(company.book(at(monday, 12)))
    idle = ({ann.id, bob.id} - {busy}).pop()
    assert cleaner_of(company.book(at(monday, 14))) == idle
    busy = cleaner_of(company.book(at(monday, 16)))
    idle = ({ann.id, bob.id} - {busy}).pop()
    assert cleaner_of(company.book(at(monday + timedelta(days=1), 10))) == idle


def test_nobody_goes_where_nobody_is_free(company: Company, noon: datetime) -> None:
    body = order(company.service, noon, allow_duplicate=True)
    problem(book(company.client.http, body), 409, "slot-unavailable")
    company.hire({noon.weekday(): [(12 * 60, 13 * 60)]})
    problem(book(company.client.http, order(company.service, noon + timedelta(minutes=30))), 409, "slot-unavailable")
    company.book(noon)
    problem(book(company.client.http, body | {"allow_duplicate": True}), 409, "slot-unavailable")
    assert rows(company.api.database, "SELECT count(*) FROM booking WHERE client_id = ?", company.client.id) == [(1,)]


def test_what_was_agreed_is_kept(company: Company, noon: datetime) -> None:
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
    answer = company.client.http.get(f"/api/v1/bookings/{booking['id']}")
    assert answer.json() == booking
    assert answer.headers["ETag"] == '"1"'
    assert booking["version"] == 1


def test_notice_and_horizon(company: Company) -> None:
    company.hire()
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    soon, far = order(company.service, now + HOUR), order(company.service, now + timedelta(days=91))
    problem(book(company.client.http, soon), 409, "too-soon")
    problem(book(company.client.http, far), 409, "too-late")
    company.book_soon(now + HOUR)
    past = order(company.service, now - HOUR, client_id=company.client.id)
    problem(book(company.manager.http, past), 409, "too-soon")
    late = order(company.service, now + timedelta(days=91), client_id=company.client.id)
    problem(book(company.manager.http, late), 409, "too-late")


def test_a_repeated_order_books_once(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    key, body = str(uuid.uuid4()), order(company.service, noon)
    first, again = book(company.client.http, body, key), book(company.client.http, body, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(book(company.client.http, body | {"notes": "other"}, key), 422, "idempotency-key-reused")
    assert rows(company.api.database, "SELECT count(*) FROM booking WHERE client_id = ?", company.client.id) == [(1,)]
    # The same key of somebody else is another one.
    other = company.api.person()
    assert book(other.http, body, key).json()["id"] != first.json()["id"]


def test_an_answer_that_an_older_release_has_stored_is_still_given(company: Company, noon: datetime) -> None:
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


def test_an_order_needs_a_key(company: Company, noon: datetime) -> None:
    answer = company.client.http.post("/api/v1/bookings", json=order(company.service, noon))
    errors = problem(answer, 422, "validation-failed")["errors"]
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
def test_a_wrong_order_is_refused(company: Company, noon: datetime, change: dict[str, object], field: str) -> None:
    answer = book(company.client.http, order(company.service, noon) | change)
    assert [each["field"] for each in problem(answer, 422, "validation-failed")["errors"]] == [field]


def test_whose_booking_it_is(company: Company, noon: datetime) -> None:
    company.hire()
    for client_id in (company.client.id, company.manager.id):
        answer = book(company.client.http, order(company.service, noon, client_id=client_id))
        assert problem(answer, 422, "validation-failed")["errors"][0]["field"] == "client_id"
    nobody: tuple[str | None, ...] = (None, company.manager.id, str(uuid.uuid4()))
    for unknown in nobody:
        answer = book(company.manager.http, order(company.service, noon, client_id=unknown))
        assert problem(answer, 422, "validation-failed")["errors"][0]["field"] == "client_id"
    assert company.book_soon(noon)["client"]["id"] == company.client.id


def test_the_list_covers_each_booking_once(company: Company) -> None:
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
def test_a_wrong_query_of_the_list_is_refused(company: Company, query: str, field: str) -> None:
    answer = company.client.http.get(f"/api/v1/bookings?{query}")
    errors = problem(answer, 422, "validation-failed")["errors"]
    assert [(each["location"], each["field"]) for each in errors] == [("query", field)]


def test_others_see_nothing(company: Company, noon: datetime) -> None:
    cleaner, other = company.hire(), company.api.person()
    booking = company.book(noon)
    path = f"/api/v1/bookings/{booking['id']}"
    for each in (path, f"{path}/history"):
        problem(other.http.get(each), 404, "not-found")
        assert cleaner.http.get(each).status_code == 200
    problem(other.http.post(f"{path}/cancel", json={}), 404, "not-found")
    assert [each["id"] for each in cleaner.http.get("/api/v1/bookings").json()["items"]] == [booking["id"]]
