"""Time to travel between visits at different addresses: offered, booked, moved and assigned alike."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.app.bookings.conftest import Company, Json, do, problem
from tests.app.company import ALWAYS, at, book, day_ahead, execute, make_service, order
from tests.app.conftest import run_api

HOUR = timedelta(hours=1)
HALF = timedelta(minutes=30)
HERE, THERE = "Main Street 5, 10115 Berlin", "Side Road 7"


def offered(company: Company, address: str | None = None) -> set[datetime]:
    """When a visit of an hour can begin ten days from now."""
    query = {"date": str(day_ahead(10)), "duration_minutes": "60"} | ({"address": address} if address else {})
    (day,) = company.api.anonymous.get("/api/v1/availability", params=query).json()["days"]
    return {datetime.fromisoformat(each["starts_at"]) for each in day["slots"]}


def answer_to(company: Company, starts_at: datetime, address: str) -> httpx.Response:
    return book(company.client.http, order(company.service, starts_at, address=address))


def change(company: Company, booking: Json, **changes: object) -> httpx.Response:
    path = f"/api/v1/bookings/{booking['id']}"
    return company.client.http.patch(path, json=changes, headers={"If-Match": "*"})


def test_a_cleaner_has_time_to_travel_before_and_after_a_visit(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    for starts_at in (noon + HOUR, noon - HOUR):
        problem(answer_to(company, starts_at, THERE), 409, "slot-unavailable")
    for starts_at in (noon + HOUR + HALF, noon - HOUR - HALF):
        assert answer_to(company, starts_at, THERE).status_code == 201


@pytest.mark.parametrize("spelling", [HERE, "MAIN STREET 5 \u00a0 10115  berlin", "Main Street 5; 10115, Berlin."])
def test_no_time_is_needed_at_the_same_address(company: Company, noon: datetime, spelling: str) -> None:
    company.hire()
    company.book(noon, address=HERE)
    assert answer_to(company, noon + HOUR, spelling).status_code == 201


def test_what_is_offered_can_be_booked_and_nothing_else(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    every = offered(company, HERE)
    assert {noon - HOUR, noon + HOUR} <= every
    assert not {noon - HALF, noon, noon + HALF} & every
    assert offered(company) == offered(company, THERE) == every - {noon - HOUR, noon + HOUR}


def test_a_visit_is_moved_only_to_where_its_cleaner_gets_in_time(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    other = company.book(noon + 3 * HOUR, address=THERE)
    near = {"starts_at": (noon + HOUR).isoformat()}
    problem(do(company.client, other, "reschedule", near, "*"), 409, "slot-unavailable")
    bob = company.hire()
    assert do(company.client, other, "reschedule", near, "*").json()["cleaner"]["id"] == bob.id


def test_the_office_assigns_whoever_gets_there_in_time(company: Company, noon: datetime) -> None:
    ann = company.hire()
    company.book(noon, address=HERE)
    company.hire()
    other = company.book(noon + HOUR, address=THERE)
    problem(do(company.manager, other, "assign", {"cleaner_id": ann.id}), 409, "slot-unavailable")
    assert change(company, other, address=HERE).status_code == 200
    assert do(company.manager, other, "assign", {"cleaner_id": ann.id}).status_code == 200


def test_another_address_gets_another_cleaner_when_it_is_too_far(company: Company, noon: datetime) -> None:
    company.hire()
    company.book(noon, address=HERE)
    next_one = company.book(noon + HOUR, address=HERE)
    problem(change(company, next_one, address=THERE), 409, "slot-unavailable")
    assert company.client.http.get(f"/api/v1/bookings/{next_one['id']}").json() == next_one
    bob = company.hire()
    moved = change(company, next_one, address=THERE).json()
    assert (moved["cleaner"]["id"], moved["address"], moved["state"]) == (bob.id, THERE, "assigned")
    history = company.manager.http.get(f"/api/v1/bookings/{next_one['id']}/history").json()["items"]
    assert [each["kind"] for each in history][-2:] == ["changed", "assigned"]


def test_bookings_that_are_too_close_already_stay_valid(company: Company, noon: datetime) -> None:
    cleaner = company.hire()
    first, second = company.book(noon, address=HERE), company.book(noon + HOUR, address=HERE)
    execute(company.api.database, "UPDATE booking SET address = ? WHERE id = ?", THERE, second["id"])
    assert company.client.http.get(f"/api/v1/bookings/{second['id']}").json()["cleaner"]["id"] == cleaner.id
    assert change(company, second, notes="Knock", address="Elsewhere 1").json()["cleaner"]["id"] == cleaner.id
    away = {"starts_at": (noon + 5 * HOUR).isoformat()}
    assert do(company.client, first, "reschedule", away, "*").json()["cleaner"]["id"] == cleaner.id
    assert do(company.client, second, "cancel", {}).status_code == 200


@pytest.fixture(scope="module")
def far_away(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Company]:
    """A company in the country, whose cleaners drive for more than an hour."""
    with run_api(tmp_path_factory.mktemp("far"), migrated, {"BOOKING_TRAVEL_MINUTES": "61"}) as api:
        yield Company(api, make_service(api.database), api.person(), api.person("manager"))


def test_travel_is_rounded_up_to_half_hours(far_away: Company) -> None:
    far_away.hire(ALWAYS)
    midnight = at(day_ahead(10), 0)
    far_away.book(midnight, address=HERE)
    assert min(offered(far_away)) == midnight + 2 * HOUR + HALF
    problem(answer_to(far_away, midnight + 2 * HOUR, THERE), 409, "slot-unavailable")
    problem(answer_to(far_away, midnight - 2 * HOUR, THERE), 409, "slot-unavailable")
    assert answer_to(far_away, midnight + 2 * HOUR + HALF, THERE).status_code == 201
