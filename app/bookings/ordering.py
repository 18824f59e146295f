"""From what somebody asks for to a booking."""

import secrets
from datetime import timedelta

from sqlmodel import Session, select

from app.accounts.service import Accounts
from app.bookings import assignment, policy
from app.bookings.duplicates import refuse_duplicate
from app.bookings.history import follow, note
from app.bookings.messages import Messages
from app.bookings.models import Booking
from app.bookings.schemas import NewBooking
from app.bookings.states import Transition
from app.catalog.schemas import Quote
from app.catalog.service import Catalog
from app.kit.actor import Actor, Role
from app.kit.models import now
from app.kit.problems import FieldError, ValidationFailed
from app.settings import Settings

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0, 1, I, L and O, which are mistaken for each other."""
REFERENCE_LENGTH = 8


class Ordering:
    """Writes new bookings."""

    def __init__(self, settings: Settings, accounts: Accounts, catalog: Catalog, messages: Messages) -> None:
        self._settings = settings
        self._accounts = accounts
        self._catalog = catalog
        self._messages = messages

    def place(self, session: Session, actor: Actor, order: NewBooking) -> Booking:
        """Write the booking and, with automatic assignment, send somebody; raises what `Bookings.create` does."""
        client_id = self._client(session, actor, order)
        quote = self._catalog.quote(session, order)
        policy.require_bookable(self._settings, order.starts_at, now(), in_office=actor.in_office)
        booking = Booking(
            reference=_reference(session),
            client_id=client_id,
            service_id=quote.service_id,
            service_name=quote.service_name,
            starts_at=order.starts_at,
            ends_at=order.starts_at + timedelta(minutes=quote.duration_minutes),
            address=order.address,
            notes=order.notes,
            price=quote.total,
            currency=quote.currency,
            quote=_agreed(quote, order),
        )
        if not order.allow_duplicate:
            refuse_duplicate(session, self._accounts, booking, starts_at=booking.starts_at, address=booking.address)
        note(session, booking, "requested", actor.id)
        if self._settings.booking_assignment == "automatic":
            self._assign(session, booking)
        else:
            self._messages.received(session, booking)
        booking.version = 1  # nobody has seen the steps before
        session.flush()
        return booking

    def _assign(self, session: Session, booking: Booking) -> None:
        follow(session, booking, Transition.CONFIRM, None)
        visit = assignment.visit_of(booking)
        booking.cleaner_id = assignment.least_loaded(session, self._settings, booking, visit)
        assignment.occupy(session, booking)
        follow(session, booking, Transition.ASSIGN, None, cleaner_id=booking.cleaner_id)
        self._messages.assigned(session, booking, before=None)

    def _client(self, session: Session, actor: Actor, order: NewBooking) -> str:
        """Whose booking it is to be."""
        if not actor.in_office:
            if order.client_id is not None:
                raise _wrong_client("forbidden", "Clients book for themselves")
            return actor.id
        if order.client_id is None:
            raise _wrong_client("missing", "Say whose booking it is")
        person = self._accounts.person(session, order.client_id)
        if person is None or not person.is_active or person.role is not Role.CLIENT:
            raise _wrong_client("unknown", "There is no such client")
        return person.id


def _agreed(quote: Quote, order: NewBooking) -> dict[str, object]:
    measures = order.model_dump(include={"square_metres", "rooms", "hours"})
    return {"items": [item.model_dump() for item in quote.items], **measures}


def _reference(session: Session) -> str:
    """A reference nobody has yet; of 31 ** 8, so trying again is rare."""
    while True:
        reference = "".join(secrets.choice(ALPHABET) for _ in range(REFERENCE_LENGTH))
        if session.exec(select(Booking.id).where(Booking.reference == reference)).first() is None:
            return reference


def _wrong_client(code: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(location="body", field="client_id", code=code, message=message)])
