"""A cleaner who is away leaves no visit behind: somebody else goes, or the office knows."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.app.bookings.conftest import Company, Json, do
from tests.app.company import execute, make_service, only_new_cleaners, rows, stored
from tests.app.conftest import RunningApi, run_api
from tests.app.people import Person

# ruff: noqa: ARG001  # the ways to be away have one signature

HOUR = timedelta(hours=1)
ANY = {"If-Match": "*"}
Absence = Callable[[Company, Person, datetime], httpx.Response]


def days_off(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    body = {"first_day": str(noon.date()), "last_day": str(noon.date())}
    return cleaner.http.post(f"/api/v1/cleaners/{cleaner.id}/days-off", json=body)


def no_hours(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return company.manager.http.put(f"/api/v1/cleaners/{cleaner.id}/working-hours", json={"hours": []}, headers=ANY)


def shorter_hours(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    hours = [{"weekday": day, "starts": "08:00", "ends": "12:30"} for day in range(7)]
    return cleaner.http.put(f"/api/v1/cleaners/{cleaner.id}/working-hours", json={"hours": hours}, headers=ANY)


def client_again(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return admin_of(company).http.patch(f"/api/v1/users/{cleaner.id}", json={"role": "client"}, headers=ANY)


def switched_off(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return admin_of(company).http.patch(f"/api/v1/users/{cleaner.id}", json={"is_active": False}, headers=ANY)


def erased(company: Company, cleaner: Person, noon: datetime) -> httpx.Response:
    return cleaner.http.post("/api/v1/users/me/erase", json={"current_password": cleaner.password})


ABSENCES = [days_off, no_hours, shorter_hours, client_again, switched_off, erased]
_admins: dict[int, Person] = {}


def admin_of(company: Company) -> Person:
    """An administrator, the same for a api."""
    return _admins.setdefault(id(company.api), company.api.person("admin"))


def uncovered(company: Company) -> list[str]:
    """The bookings that the office finds without a cleaner."""
    answer = company.manager.http.get("/api/v1/office/bookings?cover=missing&limit=100")
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


def read(company: Company, booking: Json) -> Json:
    found: Json = company.manager.http.get(f"/api/v1/bookings/{booking['id']}").json()
    return found


def told(company: Company, account_id: str) -> list[tuple[str, str]]:
    """Templates and texts of what somebody is told, in order."""
    query = "SELECT template, body FROM outbox_message WHERE account_id = ? ORDER BY created_at, rowid"
    return [(template, body) for template, body in rows(company.api.database, query, account_id)]


def slots(company: Company, booking: Json) -> set[str]:
    """Whose time it takes."""
    query = "SELECT cleaner_id FROM booking_slot WHERE booking_id = ?"
    return {cleaner for (cleaner,) in rows(company.api.database, query, booking["id"])}


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[RunningApi]:
    """An API whose mail server is away."""
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "MAIL_FROM": "office@example.com"}
    with run_api(tmp_path_factory.mktemp("absences"), migrated, mail) as api:
        yield api


@pytest.fixture
def company(mailing: RunningApi) -> Iterator[Company]:
    """A company without cleaners, which tells people."""
    with only_new_cleaners(mailing.database):
        yield Company(mailing, make_service(mailing.database), mailing.person(), mailing.person("manager"))


@pytest.mark.parametrize("be_away", ABSENCES)
def test_somebody_else_goes_at_once(company: Company, noon: datetime, be_away: Absence) -> None:
    ann = company.hire()
    booking = company.book(noon)
    bob = company.hire()
    answer = be_away(company, ann, noon)
    assert answer.is_success, answer.text
    if answer.content:
        (affected,) = answer.json()["affected_visits"]
        assert affected == {
            "id": booking["id"],
            "reference": booking["reference"],
            "starts_at": booking["starts_at"],
            "reassigned": True,
            "cleaner": {"id": bob.id, "full_name": "Ann"},
        }
    now = read(company, booking)
    assert (now["state"], now["cleaner"]["id"], slots(company, booking)) == ("assigned", bob.id, {bob.id})
    assert uncovered(company) == []
    history = company.manager.http.get(f"/api/v1/bookings/{booking['id']}/history").json()["items"]
    assert (history[-1]["kind"], history[-1]["details"]) == ("assigned", {"before": ann.id, "cleaner_id": bob.id})
    assert [template for template, _ in told(company, company.client.id)] == ["booking_assigned"] * 2
    assert [template for template, _ in told(company, bob.id)] == ["visit_assigned"]
    still_reads = be_away in {days_off, no_hours, shorter_hours, client_again}
    assert ("visit_cancelled" in [template for template, _ in told(company, ann.id)]) is still_reads
    assert "cover_missing" not in [template for template, _ in told(company, company.manager.id)]


@pytest.mark.parametrize("be_away", ABSENCES)
def test_where_nobody_is_free_the_office_is_told_once(company: Company, noon: datetime, be_away: Absence) -> None:
    ann = company.hire()
    first, second = company.book(noon), company.book(noon + 2 * HOUR)
    execute(company.api.database, "UPDATE user_account SET language = 'ru' WHERE id = ?", company.manager.id)
    answer = be_away(company, ann, noon)
    assert answer.is_success, answer.text
    if answer.content:
        affected = answer.json()["affected_visits"]
        assert [(each["id"], each["reassigned"], each["cleaner"]) for each in affected] == [
            (first["id"], False, None),
            (second["id"], False, None),
        ]
    for booking in (first, second):
        now = read(company, booking)
        assert (now["state"], now["cleaner"], slots(company, booking)) == ("confirmed", None, set())
        assert now["version"] == 2
    assert {first["id"], second["id"]} <= set(uncovered(company))
    ((template, body),) = told(company, company.manager.id)
    assert template == "cover_missing"
    assert first["reference"] in body
    assert second["reference"] in body
    assert "Заказы" in body
    assert len(told(company, company.client.id)) == 2  # of the two bookings, and of nothing else
    # What is assigned again is missed no more.
    company.hire()
    assert do(company.manager, first, "assign", {"cleaner_id": None}).is_success
    assert first["id"] not in uncovered(company)
    do(company.manager, first, "cancel", {})
    do(company.manager, second, "cancel", {})
    assert second["id"] not in uncovered(company)


def test_a_repeated_request_gets_the_same_answer_and_nobody_is_told_twice(company: Company, noon: datetime) -> None:
    ann = company.hire()
    booking = company.book(noon)
    body = {"first_day": str(noon.date()), "last_day": str(noon.date())}
    path, key = f"/api/v1/cleaners/{ann.id}/days-off", {"Idempotency-Key": str(uuid.uuid4())}
    first = company.manager.http.post(path, json=body, headers=key)
    again = company.manager.http.post(path, json=body, headers=key)
    assert again.json() == first.json()
    assert [each["id"] for each in first.json()["affected_visits"]] == [booking["id"]]
    assert len(told(company, company.manager.id)) == 1
    execute(
        company.api.database,
        "UPDATE idempotency_record SET answer = json_remove(answer, '$.affected_visits') WHERE key = ?",
        key["Idempotency-Key"],
    )
    old = company.manager.http.post(path, json=body, headers=key)
    assert (old.status_code, old.json()) == (201, first.json() | {"affected_visits": []})
    do(company.manager, booking, "cancel", {})


def test_other_days_and_visits_that_have_begun_or_are_over_stay(company: Company, noon: datetime) -> None:
    ann = company.hire()
    begun, over, next_day = company.book(noon), company.book(noon + 3 * HOUR), company.book(noon + 24 * HOUR)
    answer = days_off(company, ann, noon - timedelta(days=2))
    assert answer.json()["affected_visits"] == []
    execute(company.api.database, "UPDATE booking SET state = 'in_progress' WHERE id = ?", begun["id"])
    yesterday = datetime.now(UTC) - timedelta(days=1)
    execute(
        company.api.database,
        "UPDATE booking SET starts_at = ?, ends_at = ? WHERE id = ?",
        *(stored(yesterday), stored(yesterday + HOUR), over["id"]),
    )
    assert days_off(company, ann, noon).json()["affected_visits"] == []
    affected = no_hours(company, ann, noon).json()["affected_visits"]
    assert [each["id"] for each in affected] == [next_day["id"]]
    assert read(company, begun)["cleaner"]["id"] == read(company, over)["cleaner"]["id"] == ann.id


def test_with_manual_assignment_the_office_decides(tmp_path: Path, migrated: Path, noon: datetime) -> None:
    with run_api(tmp_path, migrated, {"BOOKING_ASSIGNMENT": "manual"}) as api:
        company = Company(api, make_service(api.database), api.person(), api.person("manager"))
        ann, _ = company.hire(), company.hire()
        booking = company.book(noon)
        assert uncovered(company) == [booking["id"]]
        assert do(company.manager, booking, "assign", {"cleaner_id": ann.id}).is_success
        assert uncovered(company) == []
        (affected,) = days_off(company, ann, noon).json()["affected_visits"]
        assert (affected["reassigned"], affected["cleaner"]) == (False, None)
        assert uncovered(company) == [booking["id"]]
