"""Reassignment of visits when a cleaner becomes unavailable."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.app.bookings.conftest import Company, Json, post_action
from tests.app.company import execute, make_service, only_new_cleaners, rows, stored
from tests.app.conftest import RunningApi, run_api
from tests.app.people import Person

# ruff: noqa: ARG001  # the causes of absence share one signature

HOUR = timedelta(hours=1)
ANY = {"If-Match": "*"}
Absence = Callable[[Company, Person, datetime], httpx.Response]


def add_day_off(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    body = {"first_day": str(noon.date()), "last_day": str(noon.date())}
    return cleaner.http.post(f"/api/v1/cleaners/{cleaner.id}/days-off", json=body)


def clear_hours(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return company.manager.http.put(f"/api/v1/cleaners/{cleaner.id}/working-hours", json={"hours": []}, headers=ANY)


def shorten_hours(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    hours = [{"weekday": day, "starts": "08:00", "ends": "12:30"} for day in range(7)]
    return cleaner.http.put(f"/api/v1/cleaners/{cleaner.id}/working-hours", json={"hours": hours}, headers=ANY)


def change_role(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return admin_of(company).http.patch(f"/api/v1/users/{cleaner.id}", json={"role": "client"}, headers=ANY)


def deactivate(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return admin_of(company).http.patch(f"/api/v1/users/{cleaner.id}", json={"is_active": False}, headers=ANY)


def erase(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return cleaner.http.post("/api/v1/users/me/erase", json={"current_password": cleaner.password})


CAUSES_OF_ABSENCE = [add_day_off, clear_hours, shorten_hours, change_role, deactivate, erase]
_admins: dict[int, Person] = {}


def admin_of(company: Company) -> Person:
    """The administrator of the company; one for each server."""
    return _admins.setdefault(id(company.api), company.api.person("admin"))


def uncovered(company: Company) -> list[str]:
    """The ids of the bookings that the office list shows as uncovered."""
    response = company.manager.http.get("/api/v1/office/bookings?cover=missing&limit=100")
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()["items"]]


def read(company: Company, booking: Json) -> Json:
    found: Json = company.manager.http.get(f"/api/v1/bookings/{booking['id']}").json()
    return found


def notifications_of(company: Company, account_id: str) -> list[tuple[str, str]]:
    """Templates and bodies of the notifications to an account, oldest first."""
    query = "SELECT template, body FROM outbox_message WHERE account_id = ? ORDER BY created_at, rowid"
    return [(template, body) for template, body in rows(company.api.database, query, account_id)]


def slot_owners(company: Company, booking: Json) -> set[str]:
    """The cleaners whose slots the booking takes."""
    query = "SELECT cleaner_id FROM booking_slot WHERE booking_id = ?"
    return {cleaner for (cleaner,) in rows(company.api.database, query, booking["id"])}


@pytest.fixture(scope="module")
def api_with_mail(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[RunningApi]:
    """An API whose mail server is down, so that messages stay in the outbox."""
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "MAIL_FROM": "office@example.com"}
    with run_api(tmp_path_factory.mktemp("absences"), migrated, mail) as api:
        yield api


@pytest.fixture
def company(api_with_mail: RunningApi) -> Iterator[Company]:
    """A company without cleaners that sends notifications."""
    with only_new_cleaners(api_with_mail.database):
        yield Company(
            api_with_mail,
            make_service(api_with_mail.database),
            api_with_mail.person(),
            api_with_mail.person("manager"),
        )


@pytest.mark.parametrize("make_absent", CAUSES_OF_ABSENCE)
def test_visit_is_reassigned_to_free_cleaner(company: Company, noon: datetime, make_absent: Absence) -> None:
    ann = company.hire()
    booking = company.book(noon)
    bob = company.hire()
    response = make_absent(company, ann, noon)
    assert response.is_success, response.text
    if response.content:
        (affected,) = response.json()["affected_visits"]
        assert affected == {
            "id": booking["id"],
            "reference": booking["reference"],
            "starts_at": booking["starts_at"],
            "reassigned": True,
            "cleaner": {"id": bob.id, "full_name": "Ann"},
        }
    now = read(company, booking)
    assert (now["state"], now["cleaner"]["id"], slot_owners(company, booking)) == ("assigned", bob.id, {bob.id})
    assert uncovered(company) == []
    history = company.manager.http.get(f"/api/v1/bookings/{booking['id']}/history").json()["items"]
    assert (history[-1]["kind"], history[-1]["details"]) == ("assigned", {"before": ann.id, "cleaner_id": bob.id})
    assert [template for template, _ in notifications_of(company, company.client.id)] == ["booking_assigned"] * 2
    assert [template for template, _ in notifications_of(company, bob.id)] == ["visit_assigned"]
    still_reads = make_absent in {add_day_off, clear_hours, shorten_hours, change_role}
    assert ("visit_cancelled" in [template for template, _ in notifications_of(company, ann.id)]) is still_reads
    assert "cover_missing" not in [template for template, _ in notifications_of(company, company.manager.id)]


@pytest.mark.parametrize("make_absent", CAUSES_OF_ABSENCE)
def test_office_is_notified_once_if_no_cleaner_is_free(company: Company, noon: datetime, make_absent: Absence) -> None:
    ann = company.hire()
    first, second = company.book(noon), company.book(noon + 2 * HOUR)
    execute(company.api.database, "UPDATE user_account SET language = 'ru' WHERE id = ?", company.manager.id)
    response = make_absent(company, ann, noon)
    assert response.is_success, response.text
    if response.content:
        affected = response.json()["affected_visits"]
        assert [(each["id"], each["reassigned"], each["cleaner"]) for each in affected] == [
            (first["id"], False, None),
            (second["id"], False, None),
        ]
    for booking in (first, second):
        now = read(company, booking)
        assert (now["state"], now["cleaner"], slot_owners(company, booking)) == ("confirmed", None, set())
        assert now["version"] == 2
    assert {first["id"], second["id"]} <= set(uncovered(company))
    ((template, body),) = notifications_of(company, company.manager.id)
    assert template == "cover_missing"
    assert first["reference"] in body
    assert second["reference"] in body
    assert "Заказы" in body
    assert len(notifications_of(company, company.client.id)) == 2  # one for each booking
    # A booking that is assigned again is no longer uncovered.
    company.hire()
    assert post_action(company.manager, first, "assign", {"cleaner_id": None}).is_success
    assert first["id"] not in uncovered(company)
    post_action(company.manager, first, "cancel", {})
    post_action(company.manager, second, "cancel", {})
    assert second["id"] not in uncovered(company)


def test_repeated_request_gets_same_response_without_second_notification(company: Company, noon: datetime) -> None:
    ann = company.hire()
    booking = company.book(noon)
    body = {"first_day": str(noon.date()), "last_day": str(noon.date())}
    path, key = f"/api/v1/cleaners/{ann.id}/days-off", {"Idempotency-Key": str(uuid.uuid4())}
    first = company.manager.http.post(path, json=body, headers=key)
    again = company.manager.http.post(path, json=body, headers=key)
    assert again.json() == first.json()
    assert [each["id"] for each in first.json()["affected_visits"]] == [booking["id"]]
    assert len(notifications_of(company, company.manager.id)) == 1
    execute(
        company.api.database,
        "UPDATE idempotency_record SET answer = json_remove(answer, '$.affected_visits') WHERE key = ?",
        key["Idempotency-Key"],
    )
    old = company.manager.http.post(path, json=body, headers=key)
    assert (old.status_code, old.json()) == (201, first.json() | {"affected_visits": []})
    post_action(company.manager, booking, "cancel", {})


def test_other_days_and_started_or_past_visits_keep_their_cleaner(company: Company, noon: datetime) -> None:
    ann = company.hire()
    begun, over, next_day = company.book(noon), company.book(noon + 3 * HOUR), company.book(noon + 24 * HOUR)
    response = add_day_off(company, ann, noon - timedelta(days=2))
    assert response.json()["affected_visits"] == []
    execute(company.api.database, "UPDATE booking SET state = 'in_progress' WHERE id = ?", begun["id"])
    yesterday = datetime.now(UTC) - timedelta(days=1)
    execute(
        company.api.database,
        "UPDATE booking SET starts_at = ?, ends_at = ? WHERE id = ?",
        *(stored(yesterday), stored(yesterday + HOUR), over["id"]),
    )
    assert add_day_off(company, ann, noon).json()["affected_visits"] == []
    affected = clear_hours(company, ann, noon).json()["affected_visits"]
    assert [each["id"] for each in affected] == [next_day["id"]]
    assert read(company, begun)["cleaner"]["id"] == read(company, over)["cleaner"]["id"] == ann.id


def test_manual_assignment_leaves_reassignment_to_the_office(tmp_path: Path, migrated: Path, noon: datetime) -> None:
    with run_api(tmp_path, migrated, {"BOOKING_ASSIGNMENT": "manual"}) as api:
        company = Company(api, make_service(api.database), api.person(), api.person("manager"))
        ann, _ = company.hire(), company.hire()
        booking = company.book(noon)
        assert uncovered(company) == [booking["id"]]
        assert post_action(company.manager, booking, "assign", {"cleaner_id": ann.id}).is_success
        assert uncovered(company) == []
        (affected,) = add_day_off(company, ann, noon).json()["affected_visits"]
        assert (affected["reassigned"], affected["cleaner"]) == (False, None)
        assert uncovered(company) == [booking["id"]]
