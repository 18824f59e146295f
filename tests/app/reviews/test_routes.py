"""Reviews over HTTP: of completed bookings, one each, and the cleaner's rating."""

import uuid

import httpx
import pytest

from tests.app.company import rows
from tests.app.conftest import RunningApi
from tests.app.people import Person
from tests.app.reviews.visits import visit

Json = dict[str, object]


def write(person: Person, booking: str, body: Json, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return person.http.post(f"/api/v1/bookings/{booking}/review", json=body, headers=headers)


def read(person: Person, booking: str) -> httpx.Response:
    return person.http.get(f"/api/v1/bookings/{booking}/review")


@pytest.fixture
def client(api: RunningApi) -> Person:
    return api.person()


@pytest.fixture
def cleaner(api: RunningApi) -> Person:
    return api.person("cleaner")


def test_a_review_counts_for_the_cleaner(api: RunningApi, client: Person, cleaner: Person) -> None:
    manager = api.person("manager")
    for stars, rating in ((5, 5.0), (4, 4.5), (4, 4.33)):
        booking = visit(api.database, client.id, cleaner.id)
        written = write(client, booking, {"stars": stars, "comment": " Shines\ntruly "})
        assert written.status_code == 201, written.text
        body = written.json()
        assert (body["stars"], body["comment"], body["cleaner_id"]) == (stars, "Shines\ntruly", cleaner.id)
        profile = manager.http.get(f"/api/v1/cleaners/{cleaner.id}").json()
        assert profile["rating"] == rating
        assert {read(each, booking).status_code for each in (client, cleaner, manager)} == {200}
    assert profile["rating_count"] == 3


def test_each_booking_once_and_a_repetition_is_none(api: RunningApi, client: Person, cleaner: Person) -> None:
    booking, key = visit(api.database, client.id, cleaner.id), str(uuid.uuid4())
    first = write(client, booking, {"stars": 5}, key)
    assert write(client, booking, {"stars": 5}, key).json() == first.json()
    again = write(client, booking, {"stars": 1})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-reviewed")
    assert rows(api.database, "SELECT rating_total, rating_count FROM cleaner WHERE account_id = ?", cleaner.id) == [
        (5, 1)
    ]


@pytest.mark.parametrize("state", ["assigned", "in_progress", "cancelled", "no_show"])
def test_only_what_is_completed(api: RunningApi, client: Person, cleaner: Person, state: str) -> None:
    refused = write(client, visit(api.database, client.id, cleaner.id, state), {"stars": 5})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/booking-not-completed")


def test_only_by_the_client(api: RunningApi, client: Person, cleaner: Person) -> None:
    booking = visit(api.database, client.id, cleaner.id)
    assert write(api.person(), booking, {"stars": 1}).status_code == 404
    assert write(cleaner, booking, {"stars": 5}).status_code == 403
    assert read(client, booking).status_code == 404
    assert write(client, booking, {"stars": 5}).status_code == 201
    assert read(api.person(), booking).status_code == 404
    assert read(api.person("cleaner"), booking).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stars": 0},
        {"stars": 6},
        {"stars": "5"},
        {"stars": 4.5},
        {"stars": 5, "comment": "x" * 2001},
        {"stars": 5, "comment": "\x00"},
        {"stars": 5, "author": "me"},
    ],
)
def test_a_wrong_review_is_refused(api: RunningApi, client: Person, cleaner: Person, body: Json) -> None:
    booking = visit(api.database, client.id, cleaner.id)
    refused = write(client, booking, body)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/validation-failed")
    assert read(client, booking).status_code == 404


def test_the_public_list_has_pages_and_no_surnames(api: RunningApi, client: Person, cleaner: Person) -> None:
    assert client.http.patch("/api/v1/users/me", json={"full_name": "Ann Mary Smith"}, headers={"If-Match": "*"})
    comments = [f"number {number}" for number in range(5)]
    for comment in comments:
        write(client, visit(api.database, client.id, cleaner.id), {"stars": 5, "comment": comment})
    path, found, cursor = f"/api/v1/cleaners/{cleaner.id}/reviews?limit=2", [], None
    while True:
        page = client.http.get(path if cursor is None else f"{path}&cursor={cursor}").json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [each["comment"] for each in found] == comments[::-1]
    assert {each["author"] for each in found} == {"Ann S."}
    assert client.http.get(f"/api/v1/cleaners/{client.id}/reviews").status_code == 404


def test_who_is_erased_leaves_only_the_stars(api: RunningApi, client: Person, cleaner: Person) -> None:
    write(client, visit(api.database, client.id, cleaner.id), {"stars": 2, "comment": "I am Ann of Main Street"})
    exported = client.http.get("/api/v1/users/me/export").json()["data"]["reviews"]
    assert [each["comment"] for each in exported] == ["I am Ann of Main Street"]
    erased = client.http.post("/api/v1/users/me/erase", json={"current_password": client.password})
    assert erased.status_code == 204
    (left,) = api.person().http.get(f"/api/v1/cleaners/{cleaner.id}/reviews").json()["items"]
    assert (left["stars"], left["comment"]) == (2, "")
    assert "Ann" not in left["author"]
