"""Reviews over HTTP: permissions, uniqueness, ratings, lists and erasure."""

import uuid

import httpx
import pytest

from tests.app.company import rows
from tests.app.conftest import RunningApi
from tests.app.people import Person
from tests.app.reviews.bookings import insert_booking

Json = dict[str, object]


def post_review(person: Person, booking: str, body: Json, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return person.http.post(f"/api/v1/bookings/{booking}/review", json=body, headers=headers)


def get_review(person: Person, booking: str) -> httpx.Response:
    return person.http.get(f"/api/v1/bookings/{booking}/review")


@pytest.fixture
def client(api: RunningApi) -> Person:
    return api.person()


@pytest.fixture
def cleaner(api: RunningApi) -> Person:
    return api.person("cleaner")


def test_review_counts_towards_the_cleaners_rating(api: RunningApi, client: Person, cleaner: Person) -> None:
    manager = api.person("manager")
    for stars, rating in ((5, 5.0), (4, 4.5), (4, 4.33)):
        booking = insert_booking(api.database, client.id, cleaner.id)
        written = post_review(client, booking, {"stars": stars, "comment": " Shines\ntruly "})
        assert written.status_code == 201, written.text
        body = written.json()
        assert (body["stars"], body["comment"], body["cleaner_id"]) == (stars, "Shines\ntruly", cleaner.id)
        profile = manager.http.get(f"/api/v1/cleaners/{cleaner.id}").json()
        assert profile["rating"] == rating
        assert {get_review(each, booking).status_code for each in (client, cleaner, manager)} == {200}
    assert profile["rating_count"] == 3


def test_booking_is_reviewed_once_and_repeated_request_replays(
    api: RunningApi, client: Person, cleaner: Person
) -> None:
    booking, key = insert_booking(api.database, client.id, cleaner.id), str(uuid.uuid4())
    first = post_review(client, booking, {"stars": 5}, key)
    assert post_review(client, booking, {"stars": 5}, key).json() == first.json()
    again = post_review(client, booking, {"stars": 1})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-reviewed")
    assert rows(api.database, "SELECT rating_total, rating_count FROM cleaner WHERE account_id = ?", cleaner.id) == [
        (5, 1)
    ]


@pytest.mark.parametrize("state", ["assigned", "in_progress", "cancelled", "no_show"])
def test_only_completed_bookings_can_be_reviewed(api: RunningApi, client: Person, cleaner: Person, state: str) -> None:
    refused = post_review(client, insert_booking(api.database, client.id, cleaner.id, state), {"stars": 5})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/booking-not-completed")


def test_only_client_can_review_and_only_participants_can_read(
    api: RunningApi, client: Person, cleaner: Person
) -> None:
    booking = insert_booking(api.database, client.id, cleaner.id)
    assert post_review(api.person(), booking, {"stars": 1}).status_code == 404
    assert post_review(cleaner, booking, {"stars": 5}).status_code == 403
    assert get_review(client, booking).status_code == 404
    assert post_review(client, booking, {"stars": 5}).status_code == 201
    assert get_review(api.person(), booking).status_code == 404
    assert get_review(api.person("cleaner"), booking).status_code == 404


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
def test_invalid_review_is_refused(api: RunningApi, client: Person, cleaner: Person, body: Json) -> None:
    booking = insert_booking(api.database, client.id, cleaner.id)
    refused = post_review(client, booking, body)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/validation-failed")
    assert get_review(client, booking).status_code == 404


def test_public_list_is_paged_and_hides_surnames(api: RunningApi, client: Person, cleaner: Person) -> None:
    assert client.http.patch("/api/v1/users/me", json={"full_name": "Ann Mary Smith"}, headers={"If-Match": "*"})
    comments = [f"number {number}" for number in range(5)]
    for comment in comments:
        post_review(client, insert_booking(api.database, client.id, cleaner.id), {"stars": 5, "comment": comment})
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


def test_erasure_keeps_only_the_stars(api: RunningApi, client: Person, cleaner: Person) -> None:
    post_review(
        client,
        insert_booking(api.database, client.id, cleaner.id),
        {"stars": 2, "comment": "I am Ann of Main Street"},
    )
    exported = client.http.get("/api/v1/users/me/export").json()["data"]["reviews"]
    assert [each["comment"] for each in exported] == ["I am Ann of Main Street"]
    erased = client.http.post("/api/v1/users/me/erase", json={"current_password": client.password})
    assert erased.status_code == 204
    (left,) = api.person().http.get(f"/api/v1/cleaners/{cleaner.id}/reviews").json()["items"]
    assert (left["stars"], left["comment"]) == (2, "")
    assert "Ann" not in left["author"]
