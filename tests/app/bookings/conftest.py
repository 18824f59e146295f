"""Fixtures of the booking tests: a company whose only cleaners are those that the test hires."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.app.company import ALWAYS, Hours, at, book, day_ahead, make_cleaner, make_service, only_new_cleaners, order
from tests.app.conftest import RunningApi
from tests.app.people import Person

Json = dict[str, Any]

ALLOW_DUPLICATE = {"allow_duplicate": True}


@dataclass
class Company:
    """A service, a client, a manager and the cleaners that the test hires."""

    api: RunningApi
    service: str
    client: Person
    manager: Person

    def hire(self, hours: Hours = ALWAYS) -> Person:
        """Register a cleaner with these working hours."""
        return make_cleaner(self.api, hours)

    def book(self, starts_at: datetime, **changes: object) -> Json:
        """Book for the client; duplicates are allowed."""
        response = book(self.client.http, order(self.service, starts_at, **ALLOW_DUPLICATE | changes))
        assert response.status_code == 201, response.text
        created: Json = response.json()
        return created

    def book_soon(self, starts_at: datetime, **changes: object) -> Json:
        """Like `book`, but by the manager, who needs no notice."""
        response = book(
            self.manager.http, order(self.service, starts_at, client_id=self.client.id, **ALLOW_DUPLICATE | changes)
        )
        assert response.status_code == 201, response.text
        created: Json = response.json()
        return created


def post_action(
    person: Person, booking: Json, action: str, body: Json | None = None, match: str | None = None
) -> httpx.Response:
    """Send an action of a booking; `match` is the If-Match header."""
    headers = {"If-Match": match} if match else {}
    return person.http.post(f"/api/v1/bookings/{booking['id']}/{action}", json=body, headers=headers)


def assert_problem(response: httpx.Response, status: int, slug: str) -> Json:
    """Check that the response is this problem; return its body."""
    assert response.status_code == status, response.text
    body: Json = response.json()
    assert body["type"] == f"/problems/{slug}", body
    return body


@pytest.fixture
def company(api: RunningApi) -> Iterator[Company]:
    """A company without cleaners."""
    with only_new_cleaners(api.database):
        yield Company(api, make_service(api.database), api.person(), api.person("manager"))


@pytest.fixture
def noon() -> datetime:
    """Noon on a day that is within the horizon and can be cancelled without a fee."""
    return at(day_ahead(10), 12)
