"""Working hours, days off and availability over HTTP."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.app.company import ALWAYS, at, day_ahead, make_cleaner, only_new_cleaners
from tests.app.conftest import RunningApi
from tests.app.people import Person

Json = dict[str, Any]
MORNINGS = [{"weekday": day, "starts": "08:00", "ends": "12:00"} for day in range(7)]


def problem(answer: httpx.Response, status: int, slug: str) -> Json:
    """Check that the answer is this problem, and return it."""
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    assert body["type"] == f"/problems/{slug}", body
    return body


@pytest.fixture
def cleaner(api: RunningApi) -> Person:
    return make_cleaner(api, ALWAYS)


@pytest.fixture
def manager(api: RunningApi) -> Person:
    return api.person("manager")


def hours(cleaner: Person) -> str:
    return f"/api/v1/cleaners/{cleaner.id}/working-hours"


def days_off(cleaner: Person) -> str:
    return f"/api/v1/cleaners/{cleaner.id}/days-off"


def test_replacing_working_hours_requires_the_current_version(cleaner: Person, manager: Person) -> None:
    seen = manager.http.get(hours(cleaner))
    assert seen.json()["timezone"] == "Europe/Berlin"
    tag = seen.headers["ETag"]
    body = {"hours": MORNINGS}
    problem(manager.http.put(hours(cleaner), json=body), 428, "precondition-required")
    changed = manager.http.put(hours(cleaner), json=body, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.json()["hours"] == MORNINGS
    assert changed.headers["ETag"] != tag
    problem(cleaner.http.put(hours(cleaner), json=body, headers={"If-Match": tag}), 412, "precondition-failed")
    # Cleaners can change their own hours.
    own = cleaner.http.put(hours(cleaner), json={"hours": []}, headers={"If-Match": changed.headers["ETag"]})
    assert own.json()["hours"] == []


@pytest.mark.parametrize(
    "hours_",
    [
        [{"weekday": 7, "starts": "08:00", "ends": "12:00"}],
        [{"weekday": 0, "starts": "12:00", "ends": "08:00"}],
        [{"weekday": 0, "starts": "8", "ends": "12:00"}],
        [{"weekday": 0, "starts": "08:00", "ends": "25:00"}],
        [{"weekday": 0, "starts": "08:00", "ends": "12:00"}, {"weekday": 0, "starts": "11:00", "ends": "13:00"}],
        [{"weekday": "0", "starts": "08:00", "ends": "12:00"}],
    ],
    ids=["weekday", "backwards", "time", "end", "overlap", "text"],
)
def test_invalid_working_hours_are_refused(cleaner: Person, hours_: list[Json]) -> None:
    before = cleaner.http.get(hours(cleaner)).json()
    refused = cleaner.http.put(hours(cleaner), json={"hours": hours_}, headers={"If-Match": "*"})
    assert problem(refused, 422, "validation-failed")["errors"][0]["field"].startswith("hours")
    assert cleaner.http.get(hours(cleaner)).json() == before


def test_idempotency_key_cannot_be_reused_on_another_path(api: RunningApi, manager: Person) -> None:
    body = {"first_day": str(day_ahead(20)), "last_day": str(day_ahead(20)), "reason": ""}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    one, other = api.person("cleaner"), api.person("cleaner")
    assert manager.http.post(days_off(one), json=body, headers=key).status_code == 201
    problem(manager.http.post(days_off(other), json=body, headers=key), 422, "idempotency-key-reused")
    assert manager.http.get(days_off(other)).json()["items"] == []


def test_days_off_can_be_added_and_removed(api: RunningApi, cleaner: Person, manager: Person) -> None:
    first = day_ahead(20)
    body = {"first_day": str(first), "last_day": str(first + timedelta(days=1)), "reason": "Holiday"}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    added = cleaner.http.post(days_off(cleaner), json=body, headers=key)
    assert added.status_code == 201
    assert added.headers["Location"] == f"{days_off(cleaner)}/{added.json()['id']}"
    assert cleaner.http.post(days_off(cleaner), json=body, headers=key).json() == added.json()
    refused = problem(cleaner.http.post(days_off(cleaner), json=body), 409, "duplicate-day-off")
    assert refused["existing_id"] == added.json()["id"]
    assert [each["id"] for each in manager.http.get(days_off(cleaner)).json()["items"]] == [added.json()["id"]]
    assert api.person("cleaner").http.delete(added.headers["Location"]).status_code == 404
    assert manager.http.delete(added.headers["Location"]).status_code == 204
    assert manager.http.delete(added.headers["Location"]).status_code == 404
    assert cleaner.http.get(days_off(cleaner)).json()["items"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"last_day": "2026-01-01"}, "last_day"),
        ({"first_day": "2026-02-30"}, "first_day"),
        ({"first_day": "tomorrow"}, "first_day"),
        ({"reason": "x" * 201}, "reason"),
    ],
)
def test_invalid_days_off_are_refused(cleaner: Person, change: Json, field: str) -> None:
    body = {"first_day": "2026-03-01", "last_day": "2026-03-02"} | change
    errors = problem(cleaner.http.post(days_off(cleaner), json=body), 422, "validation-failed")["errors"]
    assert [each["field"] for each in errors] == [field]


def test_availability_follows_working_hours_and_days_off(api: RunningApi, manager: Person) -> None:
    day = day_ahead(15)

    def free(duration: int = 120) -> list[tuple[datetime, int]]:
        query = f"/api/v1/availability?date={day}&days=2&duration_minutes={duration}"
        days = api.anonymous.get(query).json()["days"]
        assert [each["date"] for each in days] == [str(day), str(day + timedelta(days=1))]
        return [(datetime.fromisoformat(each["starts_at"]), each["cleaners"]) for each in days[0]["slots"]]

    with only_new_cleaners(api.database):
        assert free() == []
        ann = make_cleaner(api)
        bob = make_cleaner(api, {day.weekday(): [(9 * 60, 12 * 60)]})
        manager.http.put(hours(ann), json={"hours": MORNINGS}, headers={"If-Match": "*"})
        eight = at(day, 8)
        half = timedelta(minutes=30)
        assert free() == [
            (eight, 1),
            (eight + half, 1),
            (eight + 2 * half, 2),
            (eight + 3 * half, 2),
            (eight + 4 * half, 2),
        ]
        assert free(240) == [(eight, 1)]
        assert free(270) == []
        body = {"first_day": str(day), "last_day": str(day)}
        assert bob.http.post(days_off(bob), json=body).status_code == 201
        assert {count for _, count in free()} == {1}


@pytest.mark.parametrize(
    "query",
    [
        "duration_minutes=60",
        "date=2026-12-01",
        "date=x&duration_minutes=60",
        "date=2026-12-01&duration_minutes=45",
        "date=2026-12-01&duration_minutes=0",
        "date=2026-12-01&duration_minutes=60&days=100",
    ],
)
def test_invalid_availability_query_is_refused(api: RunningApi, query: str) -> None:
    problem(api.anonymous.get(f"/api/v1/availability?{query}"), 422, "validation-failed")


def test_cleaners_can_read_only_themselves(api: RunningApi, cleaner: Person) -> None:
    other, client = api.person("cleaner"), api.person()
    profile = f"/api/v1/cleaners/{cleaner.id}"
    for path in (profile, hours(cleaner), days_off(cleaner)):
        assert cleaner.http.get(path).status_code == 200
        problem(other.http.get(path), 404, "not-found")
        problem(client.http.get(path), 403, "forbidden")
        problem(api.anonymous.get(path), 401, "invalid-token")
    problem(cleaner.http.get("/api/v1/cleaners"), 403, "forbidden")
    problem(api.person("manager").http.get(f"/api/v1/cleaners/{uuid.uuid4()}"), 404, "not-found")
