"""A visit that is booked already: the same client, service, time and address."""

from datetime import datetime

from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings.models import Booking, BookingState
from app.bookings.problems import DuplicateBooking
from app.kit.places import place_of

UNCOUNTED = (BookingState.CANCELLED, BookingState.NO_SHOW)
"""States of a visit that does not take place."""


def refuse_duplicate(
    session: Session, accounts: Accounts, booking: Booking, *, starts_at: datetime, address: str
) -> None:
    """Check that the client has no other booking like this one; it stays so until the end of the transaction.

    Args:
        session: to read with.
        accounts: whose client this is: of two requests at once one waits for the other.
        booking: as it is, or is to be; the client and the service do not change.
        starts_at: when it is to begin.
        address: where it is to be; spellings of the same address are equal.

    Raises:
        DuplicateBooking: there is one that was neither cancelled nor missed.
    """
    accounts.lock(session, booking.client_id)
    query = select(Booking).where(Booking.client_id == booking.client_id, col(Booking.starts_at) == starts_at)
    for each in session.exec(query.order_by(col(Booking.id))):
        if (
            each.id != booking.id
            and each.service_id == booking.service_id
            and each.state not in UNCOUNTED
            and place_of(each.address) == place_of(address)
        ):
            raise DuplicateBooking(existing_id=each.id, reference=each.reference)
