"""Detection of duplicate bookings: same client, service, start time and address."""

from datetime import datetime

from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings.models import BookingRecord, BookingState
from app.bookings.problems import DuplicateBooking
from app.kit.places import place_of

STATES_WITHOUT_VISIT = (BookingState.CANCELLED, BookingState.NO_SHOW)
"""States in which no visit takes place."""


def refuse_duplicate(
    session: Session, accounts: Accounts, booking: BookingRecord, *, starts_at: datetime, address: str
) -> None:
    """Check that the client has no duplicate booking; locks the client's account until the transaction ends.

    Args:
        session: the transaction.
        accounts: locks the client's account, so that of two concurrent requests one waits for the other.
        booking: the new or changed booking, which gives the client and the service.
        starts_at: the intended start time.
        address: the intended address; different spellings of one address are equal.

    Raises:
        DuplicateBooking: a duplicate exists that is neither cancelled nor a no-show.
    """
    accounts.lock(session, booking.client_id)
    query = select(BookingRecord).where(
        BookingRecord.client_id == booking.client_id, col(BookingRecord.starts_at) == starts_at
    )
    for each in session.exec(query.order_by(col(BookingRecord.id))):
        if (
            each.id != booking.id
            and each.service_id == booking.service_id
            and each.state not in STATES_WITHOUT_VISIT
            and place_of(each.address) == place_of(address)
        ):
            raise DuplicateBooking(existing_id=each.id, reference=each.reference)
