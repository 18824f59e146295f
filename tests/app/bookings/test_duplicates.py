"""The same visit twice is a mistake, unless somebody insists."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx

from tests.app.bookings.conftest import Company, Json, do, problem
from tests.app.company import book, execute, make_service, order, rows, stored

HOUR = timedelta(hours=1)


def again(company: Company, starts_at: datetime, **changes: object) -> httpx.Response:
    """Send the client's order once more, under another key."""
    return book(company.client.http, order(company.service, starts_at, **changes))


def names(refused: httpx.Response, booking: Json) -> bool:
    """Whether the answer says that the visit is this booking already."""
    body = problem(refused, 409, "duplicate-booking")
    return (body["existing_id"], body["reference"]) == (booking["id"], booking["reference"])


def test_the_same_visit_is_booked_once_unless_the_client_insists(company: Company, noon: datetime) -> None:
    for _ in range(3):
        company.hire()
    first = company.book(noon)
    for address in ("Main Street 5", " MAIN  street, 5. "):
        assert names(again(company, noon, address=address), first)
    by_office = order(company.service, noon, client_id=company.client.id)
    assert names(book(company.manager.http, by_office), first)
    assert rows(company.api.database, "SELECT count(*) FROM booking WHERE client_id = ?", company.client.id) == [(1,)]
    assert again(company, noon, allow_duplicate=True).status_code == 201
    problem(again(company, noon, allow_duplicate="yes"), 422, "validation-failed")


def test_another_client_service_time_or_address_is_another_visit(company: Company, noon: datetime) -> None:
    for _ in range(4):
        company.hire()
    company.book(noon)
    assert again(company, noon + 3 * HOUR).status_code == 201
    assert again(company, noon, address="Main Street 6").status_code == 201
    other = order(make_service(company.api.database), noon)
    assert book(company.client.http, other).status_code == 201
    assert book(company.api.person().http, order(company.service, noon)).status_code == 201


def test_a_cancelled_booking_does_not_count(company: Company, noon: datetime) -> None:
    company.hire()
    assert do(company.client, company.book(noon), "cancel", {}).status_code == 200
    assert again(company, noon).status_code == 201


def test_a_missed_visit_does_not_count(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    missed = company.book(noon)
    move = "UPDATE booking SET starts_at = ?, ends_at = ? WHERE id = ?"
    begun = datetime.now(UTC)
    execute(company.api.database, move, stored(begun), stored(begun + HOUR), missed["id"])
    assert do(company.manager, missed, "no-show").json()["state"] == "no_show"
    execute(company.api.database, move, stored(noon), stored(noon + HOUR), missed["id"])
    assert again(company, noon).status_code == 201


def test_a_visit_is_not_moved_onto_its_twin_by_time_or_address(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    first, later = company.book(noon), company.book(noon + 3 * HOUR)
    move = {"starts_at": noon.isoformat()}
    assert names(do(company.client, later, "reschedule", move, "*"), first)
    elsewhere = company.book(noon, address="Side Road 7")
    path, here = f"/api/v1/bookings/{elsewhere['id']}", {"address": "main street 5"}
    assert names(company.client.http.patch(path, json=here, headers={"If-Match": "*"}), first)
    insisting = here | {"allow_duplicate": True}
    assert (
        company.client.http.patch(path, json=insisting, headers={"If-Match": "*"}).json()["address"] == here["address"]
    )
    # Whoever has two already may still move or spell either.
    there = {"address": "MAIN STREET 5", "notes": "Both"}
    assert company.client.http.patch(path, json=there, headers={"If-Match": "*"}).json()["notes"] == "Both"
    assert do(company.client, elsewhere, "reschedule", {"starts_at": (noon + 6 * HOUR).isoformat()}, "*").is_success


def test_of_many_at_once_one_is_booked(company: Company, noon: datetime) -> None:
    for _ in range(6):
        company.hire()
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: again(company, noon), range(6)))
    assert sorted(each.status_code for each in answers) == [201, *[409] * 5]
    assert {each.json()["reference"] for each in answers} == {
        reference
        for (reference,) in rows(
            company.api.database, "SELECT reference FROM booking WHERE client_id = ?", company.client.id
        )
    }
