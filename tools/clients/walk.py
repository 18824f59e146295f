"""A booking from registration to review, with a client that openapi-python-client makes: python walk.py BASE.

The package `api_client` beside it is generated. The program `time-passes BOOKING` returns when the time of the visit
has come.
"""

import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

from api_client import AuthenticatedClient, Client
from api_client.api.auth import login, register
from api_client.api.bookings import (
    complete_booking,
    create_booking,
    read_booking,
    reschedule_booking,
    start_booking,
)
from api_client.api.catalog import list_services, quote
from api_client.api.office import list_bookings
from api_client.api.reviews import add_review
from api_client.api.staff import read_availability
from api_client.api.users import read_user
from api_client.models import (
    Credentials,
    NewBooking,
    Problem,
    QuoteRequest,
    Registration,
    Rescheduling,
    ReviewRequest,
)
from api_client.types import Response

PASSWORD = "correct horse battery"  # noqa: S105  # of people who exist only to try things out
Body = TypeVar("Body")


def ok(response: Response[Body | Problem]) -> Body:
    """The body of the answer; anything but success ends the walk with what the service said."""
    if response.parsed is None or isinstance(response.parsed, Problem):
        sys.exit(f"{response.status_code} {response.content.decode()}")
    return response.parsed


def sign_in(base: str, email: str) -> AuthenticatedClient:
    """Return a client that sends the access token."""
    tokens = ok(login.sync_detailed(client=Client(base), body=Credentials(email=email, password=PASSWORD)))
    return AuthenticatedClient(base, tokens.access_token)


def book_and_move(guest: Client, client: AuthenticatedClient) -> tuple[str, str]:
    """Book the first free time and move the visit to the last one; returns the booking's id and reference."""
    service = ok(list_services.sync_detailed(client=guest)).items[0].id
    wanted = QuoteRequest(service, square_metres=60, rooms=3, hours=2)
    price = ok(quote.sync_detailed(client=guest, body=wanted))

    date = (datetime.now(UTC) + timedelta(days=2)).date()
    duration = price.duration_minutes
    free = ok(read_availability.sync_detailed(client=guest, date=date, days=7, duration_minutes=duration))
    starts = [slot.starts_at for day in free.days for slot in day.slots]
    assert starts[0] < starts[-1]

    order = NewBooking(service, starts[0], "Main Street 3", square_metres=60, rooms=3, hours=2, notes="With httpx")
    booking = ok(create_booking.sync_detailed(client=client, body=order, idempotency_key=str(uuid.uuid4())))
    assert booking.price == price.total

    seen = read_booking.sync_detailed(booking.id, client=client)
    assert ok(seen).starts_at == starts[0]
    assert "content-encoding" in seen.headers, "the answer was not compressed"
    etag = seen.headers["etag"]
    print(f"ETag: {etag}")

    wish = Rescheduling(starts[-1])
    moved = ok(reschedule_booking.sync_detailed(booking.id, client=client, body=wish, if_match=etag))
    assert moved.starts_at == starts[-1]
    late = reschedule_booking.sync_detailed(booking.id, client=client, body=wish, if_match=etag)
    assert late.status_code is HTTPStatus.PRECONDITION_FAILED, "the ETag of before the move must not match any more"
    return booking.id, booking.reference


def main() -> None:
    """Walk the whole way."""
    base, guest = sys.argv[1], Client(sys.argv[1])
    email = f"python-{uuid.uuid4()}@example.com"
    registered = register.sync_detailed(client=guest, body=Registration(email, PASSWORD, "Pia Thon"))
    assert registered.status_code is HTTPStatus.CREATED, registered.content
    client = sign_in(base, email)
    booking, reference = book_and_move(guest, client)

    office = sign_in(base, "office@example.com")
    (found,) = ok(list_bookings.sync_detailed(client=office, q=reference)).items
    assert (found.id, found.client.full_name) == (booking, "Pia Thon")
    assert found.cleaner is not None
    person = ok(read_user.sync_detailed(found.cleaner.id, client=office))

    subprocess.run(["time-passes", booking], check=True)
    cleaner = sign_in(base, person.email)
    assert ok(start_booking.sync_detailed(booking, client=cleaner)).state == "in_progress"
    assert ok(complete_booking.sync_detailed(booking, client=cleaner)).state == "completed"

    review = ok(add_review.sync_detailed(booking, client=client, body=ReviewRequest(5, "Typed")))
    assert (review.booking_id, review.stars) == (booking, 5)
    print(f"walked: {reference}")


main()
