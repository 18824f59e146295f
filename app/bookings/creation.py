"""Creates bookings from requests."""

import secrets
from datetime import timedelta

from sqlmodel import Session, select

from app.accounts.service import Accounts
from app.bookings import assignment, policy
from app.bookings.duplicates import refuse_duplicate
from app.bookings.history import apply_transition, record_event
from app.bookings.models import BookingRecord
from app.bookings.notifier import BookingNotifier
from app.bookings.schemas import NewBooking
from app.bookings.states import Transition
from app.catalog.schemas import Quote
from app.catalog.service import Catalog
from app.kit.actor import Actor, Role
from app.kit.models import now
from app.kit.problems import FieldError, ValidationFailed
from app.settings import Settings

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Characters of references, without 0, 1, I, L and O, which are easily confused."""
REFERENCE_LENGTH = 8


class BookingCreator:
    """Creates bookings."""

    def __init__(self, settings: Settings, accounts: Accounts, catalog: Catalog, notifier: BookingNotifier) -> None:
        self._settings = settings
        self._accounts = accounts
        self._catalog = catalog
        self._notifier = notifier

    def create(self, session: Session, actor: Actor, order: NewBooking) -> BookingRecord:
        """Insert the booking; if assignment is automatic, assign a cleaner. Raises the errors of `Bookings.create`."""
        client_id = self._client_id(session, actor, order)
        quote = self._catalog.quote(session, order)
        policy.require_bookable(self._settings, order.starts_at, now(), in_office=actor.in_office)
        booking = BookingRecord(
            reference=_new_reference(session),
            client_id=client_id,
            service_id=quote.service_id,
            service_name=quote.service_name,
            starts_at=order.starts_at,
            ends_at=order.starts_at + timedelta(minutes=quote.duration_minutes),
            address=order.address,
            notes=order.notes,
            price=quote.total,
            currency=quote.currency,
            quote=_stored_quote(quote, order),
        )
        if not order.allow_duplicate:
            refuse_duplicate(session, self._accounts, booking, starts_at=booking.starts_at, address=booking.address)
        record_event(session, booking, "requested", actor.id)
        if self._settings.booking_assignment == "automatic":
            self._assign(session, booking)
        else:
            self._notifier.notify_received(session, booking)
        booking.version = 1  # no client has seen the versions of the steps above
        session.flush()
        return booking

    def _assign(self, session: Session, booking: BookingRecord) -> None:
        apply_transition(session, booking, Transition.CONFIRM, None)
        visit = assignment.visit_interval(booking)
        booking.cleaner_id = assignment.least_loaded_cleaner(session, self._settings, booking, visit)
        assignment.reserve_slots(session, booking)
        apply_transition(session, booking, Transition.ASSIGN, None, cleaner_id=booking.cleaner_id)
        self._notifier.notify_assigned(session, booking, previous_cleaner_id=None)

    def _client_id(self, session: Session, actor: Actor, order: NewBooking) -> str:
        if not actor.in_office:
            if order.client_id is not None:
                raise _wrong_client("forbidden", "Clients can book only for themselves")
            return actor.id
        if order.client_id is None:
            raise _wrong_client("missing", "The office must name the client")
        person = self._accounts.person(session, order.client_id)
        if person is None or not person.is_active or person.role is not Role.CLIENT:
            raise _wrong_client("unknown", "There is no such client")
        return person.id


def _stored_quote(quote: Quote, order: NewBooking) -> dict[str, object]:
    measures = order.model_dump(include={"square_metres", "rooms", "hours"})
    return {"items": [item.model_dump() for item in quote.items], **measures}


def _new_reference(session: Session) -> str:
    """An unused reference; of 31 ** 8 possible ones, so collisions are rare."""
    while True:
        reference = "".join(secrets.choice(ALPHABET) for _ in range(REFERENCE_LENGTH))
        if session.exec(select(BookingRecord.id).where(BookingRecord.reference == reference)).first() is None:
            return reference


def _wrong_client(code: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(location="body", field="client_id", code=code, message=message)])
