"""What becomes of a booking over HTTP: every step, who may take it, and what it leaves behind."""

import json
import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.app.bookings.conftest import Company, Json, do, problem
from tests.app.company import at, book, day_ahead, execute, make_service, order, rows, stored
from tests.app.conftest import run_api

HOUR = timedelta(hours=1)
VISIT = "/api/v1/bookings"


def history(company: Company, booking: Json) -> list[tuple[str, str | None, str]]:
    """Kind, who did it, and the state after it."""
    items = company.manager.http.get(f"{VISIT}/{booking['id']}/history").json()["items"]
    return [(each["kind"], each["actor"] and each["actor"]["id"], each["state"]) for each in items]


def shift(company: Company, booking: Json, starts_at: datetime) -> None:
    """Let time pass until the visit is to begin then."""
    execute(
        company.api.database,
        "UPDATE booking SET starts_at = ?, ends_at = ? WHERE id = ?",
        *(stored(starts_at), stored(starts_at + HOUR), booking["id"]),
    )


def messages(company: Company, account_id: str) -> list[str]:
    """Templates of what somebody is told, in order."""
    query = "SELECT template FROM outbox_message WHERE account_id = ? ORDER BY created_at, rowid"
    return [template for (template,) in rows(company.api.database, query, account_id)]


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Company]:
    """A company whose office confirms and assigns."""
    settings = {
        "BOOKING_ASSIGNMENT": "manual",
        "SMTP_HOST": "127.0.0.1",
        "MAIL_FROM": "a@example.com",
        "SMTP_PORT": "1",
    }
    with run_api(tmp_path_factory.mktemp("manual"), migrated, settings) as api:
        yield Company(api, make_service(api.database), api.person(), api.person("manager"))


def test_every_step_of_a_manual_booking(manual: Company, noon: datetime) -> None:
    cleaner = manual.hire()
    booking = manual.book(noon)
    assert (booking["state"], booking["cleaner"]) == ("requested", None)
    problem(do(manual.manager, booking, "start"), 409, "wrong-state")
    assert do(manual.manager, booking, "confirm").json()["state"] == "confirmed"
    problem(do(manual.manager, booking, "confirm"), 409, "wrong-state")
    assigned = do(manual.manager, booking, "assign", {"cleaner_id": cleaner.id}).json()
    assert (assigned["state"], assigned["cleaner"]["id"]) == ("assigned", cleaner.id)
    problem(do(cleaner, booking, "start"), 409, "too-early")
    shift(manual, booking, datetime.now(UTC) + HOUR)
    assert do(cleaner, booking, "start").json()["state"] == "in_progress"
    problem(do(manual.client, booking, "cancel", {}), 409, "wrong-state")
    problem(do(cleaner, booking, "complete"), 409, "too-early")
    problem(do(manual.manager, booking, "complete"), 409, "too-early")
    shift(manual, booking, datetime.now(UTC) - timedelta(minutes=1))
    assert do(cleaner, booking, "complete").json()["state"] == "completed"
    client, office = manual.client.id, manual.manager.id
    assert history(manual, booking) == [
        ("requested", client, "requested"),
        ("confirmed", office, "confirmed"),
        ("assigned", office, "assigned"),
        ("started", cleaner.id, "in_progress"),
        ("completed", cleaner.id, "completed"),
    ]
    query = "SELECT action, actor_id FROM audit_entry WHERE subject_id = ? ORDER BY id"
    assert rows(manual.api.database, query, booking["id"]) == [
        ("booking.requested", client),
        ("booking.confirmed", office),
        ("booking.assigned", office),
        ("booking.started", cleaner.id),
        ("booking.completed", cleaner.id),
    ]
    assert messages(manual, client)[-3:] == ["booking_received", "booking_confirmed", "booking_assigned"]
    assert messages(manual, cleaner.id) == ["visit_assigned"]


def test_people_are_told_in_their_language_and_only_of_what_has_happened(manual: Company, noon: datetime) -> None:
    cleaner = manual.hire({noon.weekday(): [(12 * 60, 13 * 60)]})
    answer = manual.client.http.patch("/api/v1/users/me", json={"language": "ru"}, headers={"If-Match": "*"})
    assert answer.status_code == 200
    try:
        booking = manual.book(noon)
        query = "SELECT subject, body FROM outbox_message WHERE account_id = ? ORDER BY rowid DESC LIMIT 1"
        ((subject, body),) = rows(manual.api.database, query, manual.client.id)
        assert booking["reference"] in subject + body
        assert any(unicodedata.name(letter).startswith("CYRILLIC") for letter in subject)
        told = messages(manual, manual.client.id)
        execute(manual.api.database, "DELETE FROM working_hours WHERE cleaner_id = ?", cleaner.id)
        problem(do(manual.manager, booking, "assign", {"cleaner_id": cleaner.id}), 409, "slot-unavailable")
        assert messages(manual, manual.client.id) == told
        assert messages(manual, cleaner.id) == []
    finally:
        manual.client.http.patch("/api/v1/users/me", json={"language": "en"}, headers={"If-Match": "*"})


@pytest.mark.parametrize(
    ("currency", "language", "price"),
    [
        ("EUR", "en", "Price: €125.00"),
        ("EUR", "ru", "Стоимость: 125,00 €"),
        ("JPY", "en", "Price: ¥12,500"),
        ("JPY", "ru", "Стоимость: 12 500 ¥"),
        ("KWD", "en", "Price: KWD 12.500"),
    ],
)
def test_a_letter_writes_the_price_as_its_currency_and_its_reader_do(
    manual: Company, noon: datetime, currency: str, language: str, price: str
) -> None:
    booking = manual.book(noon)
    change = "UPDATE booking SET price = 12500, cancellation_fee = 6250, currency = ? WHERE id = ?"
    execute(manual.api.database, change, currency, booking["id"])
    execute(manual.api.database, "UPDATE user_account SET language = ? WHERE id = ?", language, manual.client.id)
    assert do(manual.manager, booking, "confirm").status_code == 200
    query = "SELECT body FROM outbox_message WHERE account_id = ? ORDER BY rowid DESC LIMIT 1"
    ((body,),) = rows(manual.api.database, query, manual.client.id)
    execute(manual.api.database, "UPDATE user_account SET language = 'en' WHERE id = ?", manual.client.id)
    assert price in body.splitlines()


def test_assigning_anybody_and_reassigning(company: Company, noon: datetime) -> None:
    ann = company.hire()
    booking = company.book(noon)
    problem(do(company.manager, booking, "assign", {"cleaner_id": company.client.id}), 422, "validation-failed")
    bob = company.hire()
    moved = do(company.manager, booking, "assign", {"cleaner_id": bob.id}).json()
    assert moved["cleaner"]["id"] == bob.id
    # What the first cleaner had is free again.
    assert company.book(noon, allow_duplicate=True)["cleaner"]["id"] == ann.id
    problem(do(company.manager, booking, "assign", {"cleaner_id": ann.id}), 409, "slot-unavailable")


def test_cancelling_in_time_is_free_and_gives_the_time_back(company: Company, noon: datetime) -> None:
    company.hire()
    booking = company.book(noon)
    cancelled = do(company.client, booking, "cancel", {"reason": "Ill"}).json()
    assert (cancelled["state"], cancelled["cancellation_fee"]) == ("cancelled", 0)
    assert company.book(noon)["state"] == "assigned"
    problem(do(company.client, booking, "cancel", {}), 409, "wrong-state")
    details = rows(company.api.database, "SELECT details FROM audit_entry WHERE subject_id = ?", booking["id"])
    assert "Ill" not in json.dumps(details)


def test_cancelling_late_costs_half_for_the_client_and_nothing_for_the_office(company: Company) -> None:
    company.hire()
    company.hire()
    soon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 5 * HOUR
    mine, theirs = company.book(soon), company.book(soon, allow_duplicate=True)
    assert do(company.client, mine, "cancel", {}).json()["cancellation_fee"] == 5000
    assert do(company.manager, theirs, "cancel", {}).json()["cancellation_fee"] == 0


def test_a_late_visit_is_moved_by_the_office_only(company: Company, noon: datetime) -> None:
    company.hire()
    soon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 5 * HOUR
    booking = company.book(soon)
    body = {"starts_at": noon.isoformat()}
    problem(do(company.client, booking, "reschedule", body, "*"), 409, "too-soon")
    assert datetime.fromisoformat(do(company.manager, booking, "reschedule", body, "*").json()["starts_at"]) == noon


def test_a_moved_visit_keeps_its_cleaner_who_is_free(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    booking = company.book(noon)
    keeps = booking["cleaner"]["id"]
    half = {"starts_at": (noon + timedelta(minutes=30)).isoformat()}
    moved = do(company.client, booking, "reschedule", half, '"1"')
    assert moved.json()["cleaner"]["id"] == keeps
    problem(do(company.client, booking, "reschedule", half, '"1"'), 412, "precondition-failed")
    problem(do(company.client, booking, "reschedule", half), 428, "precondition-required")
    # Its old first half hour is free again, for the same cleaner when the other one is taken.
    other = company.book(noon - timedelta(minutes=30))
    third = company.book(noon - timedelta(minutes=30), allow_duplicate=True)
    assert {other["cleaner"]["id"], third["cleaner"]["id"]} > {keeps}


def test_a_moved_visit_gets_another_cleaner_when_its_own_is_elsewhere(company: Company, noon: datetime) -> None:
    company.hire({noon.weekday(): [(12 * 60, 13 * 60)]})
    booking = company.book(noon)
    bob = company.hire()
    moved = do(company.client, booking, "reschedule", {"starts_at": (noon + 3 * HOUR).isoformat()}, moved_by(booking))
    assert moved.json()["cleaner"]["id"] == bob.id
    assert history(company, booking)[-1][0] == "rescheduled"
    late = {"starts_at": (noon + timedelta(days=200)).isoformat()}
    problem(do(company.client, booking, "reschedule", late, "*"), 409, "too-late")


def moved_by(booking: Json) -> str:
    """The tag of a booking that nobody has changed yet."""
    assert booking["state"] == "assigned"
    return '"1"'


def test_a_moved_visit_is_not_cancelled_unseen(company: Company, noon: datetime) -> None:
    company.hire()
    booking = company.book(noon)
    half = {"starts_at": (noon + timedelta(minutes=30)).isoformat()}
    moved = do(company.manager, booking, "reschedule", half, '"1"').json()
    problem(do(company.client, booking, "cancel", {}, '"1"'), 412, "precondition-failed")
    assert do(company.client, booking, "cancel", {}, f'"{moved["version"]}"').json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("state", "action", "body"),
    [
        ("requested", "confirm", None),
        ("confirmed", "assign", {"cleaner_id": None}),
        ("assigned", "start", None),
        ("in_progress", "complete", None),
        ("assigned", "no-show", None),
        ("assigned", "cancel", {}),
    ],
)
def test_every_step_may_name_the_version_it_is_based_on(
    company: Company, noon: datetime, state: str, action: str, body: Json | None
) -> None:
    company.hire()
    for match, status in (('"2"', 412), ('"1"', 200), ("*", 200), (None, 200)):
        booking = company.book(noon)
        shift(company, booking, datetime.now(UTC) - timedelta(minutes=1))
        cleaner = None if state in {"requested", "confirmed"} else booking["cleaner"]["id"]
        execute(
            company.api.database,
            "UPDATE booking SET state = ?, cleaner_id = ? WHERE id = ?",
            *(state, cleaner, booking["id"]),
        )
        execute(company.api.database, "DELETE FROM booking_slot WHERE booking_id = ?", booking["id"])
        answer = do(company.manager, booking, action, body, match)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
        execute(company.api.database, "DELETE FROM booking_slot WHERE booking_id = ?", booking["id"])


def test_nobody_was_there(company: Company, noon: datetime) -> None:
    cleaner = company.hire()
    booking = company.book(noon)
    problem(do(cleaner, booking, "no-show"), 409, "too-early")
    shift(company, booking, datetime.now(UTC) - timedelta(minutes=10))
    assert do(cleaner, booking, "no-show").json()["state"] == "no_show"
    problem(do(cleaner, booking, "start"), 409, "wrong-state")


def test_changing_address_and_notes(company: Company, noon: datetime) -> None:
    company.hire()
    booking = company.book(noon)
    path = f"{VISIT}/{booking['id']}"
    changed = company.client.http.patch(path, json={"notes": "Bell\nis broken"}, headers={"If-Match": '"1"'})
    assert (changed.json()["notes"], changed.json()["address"]) == ("Bell\nis broken", "Main Street 5")
    assert changed.headers["ETag"] == '"2"'
    problem(
        company.client.http.patch(path, json={"notes": ""}, headers={"If-Match": '"1"'}), 412, "precondition-failed"
    )
    problem(company.client.http.patch(path, json={"notes": ""}), 428, "precondition-required")
    problem(company.client.http.patch(path, json={"price": 1}, headers={"If-Match": "*"}), 422, "validation-failed")
    entry = company.client.http.get(f"{path}/history").json()["items"][-1]
    assert (entry["kind"], entry["details"]) == ("changed", {"fields": ["notes"]})


def test_days_on_which_the_clock_is_changed(tmp_path: Path, migrated: Path) -> None:
    """The nights of 25 hours and of 23: half past two is there twice, or not at all."""
    with run_api(tmp_path, migrated, {"BOOKING_HORIZON_DAYS": "400"}) as api:
        company = Company(api, make_service(api.database), api.person(), api.person("manager"))
        company.hire()
        for month, hours in ((10, 25), (3, 23)):
            day = _last_sunday(month)
            query = f"/api/v1/availability?date={day}&duration_minutes=60"
            (found,) = api.anonymous.get(query).json()["days"]
            starts = [datetime.fromisoformat(each["starts_at"]) for each in found["slots"]]
            midnight = at(day, 0).astimezone(UTC)
            assert starts == [midnight + timedelta(minutes=30 * number) for number in range(2 * hours)]
            for start in starts[3:9:2]:
                booked = book(company.client.http, order(company.service, start)).json()
                assert datetime.fromisoformat(booked["starts_at"]) == start
            (rest,) = api.anonymous.get(query).json()["days"]
            assert len(rest["slots"]) < len(starts)


def _last_sunday(month: int) -> date:
    today = day_ahead(2)
    for ahead in range(398):
        day = today + timedelta(days=ahead)
        if day.month == month and day.weekday() == 6 and (day + timedelta(days=7)).month != month:
            return day
    raise AssertionError(month)


def test_an_erased_client_leaves_only_the_books(company: Company, noon: datetime) -> None:
    company.hire()
    client = company.api.person()
    booking = book(client.http, order(company.service, noon, notes="Mind the cat")).json()
    exported = client.http.get("/api/v1/users/me/export").json()
    assert [each["reference"] for each in exported["data"]["bookings"]] == [booking["reference"]]
    assert client.http.post("/api/v1/users/me/erase", json={"current_password": client.password}).status_code == 204
    left = company.manager.http.get(f"{VISIT}/{booking['id']}").json()
    assert (left["address"], left["notes"], left["price"], left["state"]) == ("", "", 10000, "cancelled")
    assert company.book(noon)["state"] == "assigned"
