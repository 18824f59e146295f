"""Detection of duplicate bookings."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx

from tests.app.bookings.conftest import Company, Json, assert_problem, post_action
from tests.app.company import book, execute, make_service, order, rows, stored

HOUR = timedelta(hours=1)


def book_again(company: Company, starts_at: datetime, **changes: object) -> httpx.Response:
    """Send the client's order again with another idempotency key."""
    return book(company.client.http, order(company.service, starts_at, **changes))


def is_duplicate_of(refused: httpx.Response, booking: Json) -> bool:
    """Whether the response refuses the request as a duplicate of this booking."""
    body = assert_problem(refused, 409, "duplicate-booking")
    return (body["existing_id"], body["reference"]) == (booking["id"], booking["reference"])


def test_duplicate_is_refused_unless_allowed(company: Company, noon: datetime) -> None:
    for _ in range(3):
        company.hire()
    first = company.book(noon)
    for address in ("Main Street 5", " MAIN  street, 5. "):
        assert is_duplicate_of(book_again(company, noon, address=address), first)
    by_office = order(company.service, noon, client_id=company.client.id)
    assert is_duplicate_of(book(company.manager.http, by_office), first)
    assert rows(company.api.database, "SELECT count(*) FROM booking WHERE client_id = ?", company.client.id) == [(1,)]
    assert book_again(company, noon, allow_duplicate=True).status_code == 201
    assert_problem(book_again(company, noon, allow_duplicate="yes"), 422, "validation-failed")


def test_other_client_service_time_or_address_is_no_duplicate(company: Company, noon: datetime) -> None:
    for _ in range(4):
        company.hire()
    company.book(noon)
    assert book_again(company, noon + 3 * HOUR).status_code == 201
    assert book_again(company, noon, address="Main Street 6").status_code == 201
    other = order(make_service(company.api.database), noon)
    assert book(company.client.http, other).status_code == 201
    assert book(company.api.person().http, order(company.service, noon)).status_code == 201


def test_cancelled_booking_is_no_duplicate(company: Company, noon: datetime) -> None:
    company.hire()
    assert post_action(company.client, company.book(noon), "cancel", {}).status_code == 200
    assert book_again(company, noon).status_code == 201


def test_no_show_is_no_duplicate(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    missed = company.book(noon)
    move = "UPDATE booking SET starts_at = ?, ends_at = ? WHERE id = ?"
    begun = datetime.now(UTC)
    execute(company.api.database, move, stored(begun), stored(begun + HOUR), missed["id"])
    assert post_action(company.manager, missed, "no-show").json()["state"] == "no_show"
    execute(company.api.database, move, stored(noon), stored(noon + HOUR), missed["id"])
    assert book_again(company, noon).status_code == 201


def test_change_of_time_or_address_to_a_duplicate_is_refused(company: Company, noon: datetime) -> None:
    company.hire()
    company.hire()
    first, later = company.book(noon), company.book(noon + 3 * HOUR)
    move = {"starts_at": noon.isoformat()}
    assert is_duplicate_of(post_action(company.client, later, "reschedule", move, "*"), first)
    elsewhere = company.book(noon, address="Side Road 7")
    path, here = f"/api/v1/bookings/{elsewhere['id']}", {"address": "main street 5"}
    assert is_duplicate_of(company.client.http.patch(path, json=here, headers={"If-Match": "*"}), first)
    insisting = here | {"allow_duplicate": True}
    assert (
        company.client.http.patch(path, json=insisting, headers={"If-Match": "*"}).json()["address"] == here["address"]
    )
    # Existing duplicates can still be changed and rescheduled.
    there = {"address": "MAIN STREET 5", "notes": "Both"}
    assert company.client.http.patch(path, json=there, headers={"If-Match": "*"}).json()["notes"] == "Both"
    assert post_action(
        company.client, elsewhere, "reschedule", {"starts_at": (noon + 6 * HOUR).isoformat()}, "*"
    ).is_success


def test_one_of_many_concurrent_duplicates_is_booked(company: Company, noon: datetime) -> None:
    for _ in range(6):
        company.hire()
    with ThreadPoolExecutor(6) as threads:
        responses = list(threads.map(lambda _: book_again(company, noon), range(6)))
    assert sorted(each.status_code for each in responses) == [201, *[409] * 5]
    assert {each.json()["reference"] for each in responses} == {
        reference
        for (reference,) in rows(
            company.api.database, "SELECT reference FROM booking WHERE client_id = ?", company.client.id
        )
    }
