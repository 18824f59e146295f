"""Travel time between visits at different addresses: availability, booking, rescheduling and assignment."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.app.bookings.conftest import Company, Json, assert_problem, post_action
from tests.app.company import ALWAYS, at, book, day_ahead, execute, make_service, order
from tests.app.conftest import run_api

HOUR = timedelta(hours=1)
HALF = timedelta(minutes=30)
HERE, THERE = "Main Street 5, 10115 Berlin", "Side Road 7"


def available_starts(company: Company, address: str | None = None) -> set[datetime]:
    """The available start times of a one-hour visit in ten days."""
    query = {"date": str(day_ahead(10)), "duration_minutes": "60"} | ({"address": address} if address else {})
    (day,) = company.api.anonymous.get("/api/v1/availability", params=query).json()["days"]
    return {datetime.fromisoformat(each["starts_at"]) for each in day["slots"]}


def try_to_book(company: Company, starts_at: datetime, address: str) -> httpx.Response:
    return book(company.client.http, order(company.service, starts_at, address=address))


def change(company: Company, booking: Json, **changes: object) -> httpx.Response:
    path = f"/api/v1/bookings/{booking['id']}"
    return company.client.http.patch(path, json=changes, headers={"If-Match": "*"})


def test_travel_time_is_kept_before_and_after_a_visit(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    for starts_at in (noon + HOUR, noon - HOUR):
        assert_problem(try_to_book(company, starts_at, THERE), 409, "slot-unavailable")
    for starts_at in (noon + HOUR + HALF, noon - HOUR - HALF):
        assert try_to_book(company, starts_at, THERE).status_code == 201


@pytest.mark.parametrize("spelling", [HERE, "MAIN STREET 5 \u00a0 10115  berlin", "Main Street 5; 10115, Berlin."])
def test_same_address_needs_no_travel_time(company: Company, noon: datetime, spelling: str) -> None:
    company.hire()
    company.book(noon, address=HERE)
    assert try_to_book(company, noon + HOUR, spelling).status_code == 201


def test_available_times_are_exactly_the_bookable_ones(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    every = available_starts(company, HERE)
    assert {noon - HOUR, noon + HOUR} <= every
    assert not {noon - HALF, noon, noon + HALF} & every
    assert available_starts(company) == available_starts(company, THERE) == every - {noon - HOUR, noon + HOUR}


def test_rescheduling_respects_travel_time(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    other = company.book(noon + 3 * HOUR, address=THERE)
    near = {"starts_at": (noon + HOUR).isoformat()}
    assert_problem(post_action(company.client, other, "reschedule", near, "*"), 409, "slot-unavailable")
    bob = company.hire()
    assert post_action(company.client, other, "reschedule", near, "*").json()["cleaner"]["id"] == bob.id


def test_manual_assignment_respects_travel_time(company: Company, noon: datetime) -> None:
    ann = company.hire()
    company.book(noon, address=HERE)
    company.hire()
    other = company.book(noon + HOUR, address=THERE)
    assert_problem(post_action(company.manager, other, "assign", {"cleaner_id": ann.id}), 409, "slot-unavailable")
    assert change(company, other, address=HERE).status_code == 200
    assert post_action(company.manager, other, "assign", {"cleaner_id": ann.id}).status_code == 200


def test_new_address_too_far_away_replaces_the_cleaner(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    next_one = company.book(noon + HOUR, address=HERE)
    assert_problem(change(company, next_one, address=THERE), 409, "slot-unavailable")
    assert company.client.http.get(f"/api/v1/bookings/{next_one['id']}").json() == next_one
    bob = company.hire()
    moved = change(company, next_one, address=THERE).json()
    assert (moved["cleaner"]["id"], moved["address"], moved["state"]) == (bob.id, THERE, "assigned")
    history = company.manager.http.get(f"/api/v1/bookings/{next_one['id']}/history").json()["items"]
    assert [each["kind"] for each in history][-2:] == ["changed", "assigned"]


def test_existing_bookings_without_travel_time_stay_valid(company: Company, noon: datetime) -> None:
    cleaner = company.hire()
    first, second = company.book(noon, address=HERE), company.book(noon + HOUR, address=HERE)
    execute(company.api.database, "UPDATE booking SET address = ? WHERE id = ?", THERE, second["id"])
    assert company.client.http.get(f"/api/v1/bookings/{second['id']}").json()["cleaner"]["id"] == cleaner.id
    assert change(company, second, notes="Knock", address="Elsewhere 1").json()["cleaner"]["id"] == cleaner.id
    away = {"starts_at": (noon + 5 * HOUR).isoformat()}
    assert post_action(company.client, first, "reschedule", away, "*").json()["cleaner"]["id"] == cleaner.id
    assert post_action(company.client, second, "cancel", {}).status_code == 200


@pytest.fixture(scope="module")
def far_away(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Company]:
    """A company whose cleaners need more than an hour to travel."""
    with run_api(tmp_path_factory.mktemp("far"), migrated, {"BOOKING_TRAVEL_MINUTES": "61"}) as api:
        yield Company(api, make_service(api.database), api.person(), api.person("manager"))


def test_travel_is_rounded_up_to_half_hours(far_away: Company) -> None:
    far_away.hire(ALWAYS)
    midnight = at(day_ahead(10), 0)
    far_away.book(midnight, address=HERE)
    assert min(available_starts(far_away)) == midnight + 2 * HOUR + HALF
    assert_problem(try_to_book(far_away, midnight + 2 * HOUR, THERE), 409, "slot-unavailable")
    assert_problem(try_to_book(far_away, midnight - 2 * HOUR, THERE), 409, "slot-unavailable")
    assert try_to_book(far_away, midnight + 2 * HOUR + HALF, THERE).status_code == 201
