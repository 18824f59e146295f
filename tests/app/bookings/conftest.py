"""A company of its own for each test: the shared API with nobody else's cleaners."""

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

INSISTING = {"allow_duplicate": True}


@dataclass
class Company:
    """A service, a client, a manager and whatever cleaners the test hires."""

    api: RunningApi
    service: str
    client: Person
    manager: Person

    def hire(self, hours: Hours = ALWAYS) -> Person:
        """A new cleaner."""
        return make_cleaner(self.api, hours)

    def book(self, starts_at: datetime, **changes: object) -> Json:
        """A new booking of the client's, who may have the same one already."""
        answer = book(self.client.http, order(self.service, starts_at, **INSISTING | changes))
        assert answer.status_code == 201, answer.text
        created: Json = answer.json()
        return created

    def book_soon(self, starts_at: datetime, **changes: object) -> Json:
        """Like `book`, by the manager, who needs no notice."""
        answer = book(
            self.manager.http, order(self.service, starts_at, client_id=self.client.id, **INSISTING | changes)
        )
        assert answer.status_code == 201, answer.text
        created: Json = answer.json()
        return created


def do(
    person: Person, booking: Json, action: str, body: Json | None = None, match: str | None = None
) -> httpx.Response:
    """Do something with a booking."""
    headers = {"If-Match": match} if match else {}
    return person.http.post(f"/api/v1/bookings/{booking['id']}/{action}", json=body, headers=headers)


def problem(answer: httpx.Response, status: int, slug: str) -> Json:
    """Check that it is this problem."""
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    assert body["type"] == f"/problems/{slug}", body
    return body


@pytest.fixture
def company(api: RunningApi) -> Iterator[Company]:
    """A company without cleaners."""
    with only_new_cleaners(api.database):
        yield Company(api, make_service(api.database), api.person(), api.person("manager"))


@pytest.fixture
def noon() -> datetime:
    """Noon on a day when everything can be booked and cancelled."""
    return at(day_ahead(10), 12)
