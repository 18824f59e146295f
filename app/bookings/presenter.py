"""Builds API schemas from booking rows."""

from collections.abc import Sequence

from sqlmodel import Session

from app.accounts.service import Accounts
from app.bookings import policy, schemas
from app.bookings.models import BookingEvent, BookingRecord, BookingState
from app.bookings.queries import ListedBooking
from app.settings import Settings
from app.staff.service import Staff


class BookingPresenter:
    """Builds API schemas; looks up names and ratings with two queries for any number of bookings."""

    def __init__(self, settings: Settings, accounts: Accounts, staff: Staff) -> None:
        self._settings = settings
        self._accounts = accounts
        self._staff = staff

    def present(self, session: Session, booking: BookingRecord) -> schemas.Booking:
        """Present one booking."""
        return self.present_all(session, [booking])[0]

    def present_all(self, session: Session, bookings: Sequence[BookingRecord | ListedBooking]) -> list[schemas.Booking]:
        """Present the bookings, in the same order."""
        cleaner_ids = {each.cleaner_id for each in bookings if each.cleaner_id}
        people = self._accounts.people(session, {each.client_id for each in bookings} | cleaner_ids)
        ratings = self._staff.ratings(session, cleaner_ids)
        presented = []
        for each in bookings:
            client, cleaner = people[each.client_id], people.get(each.cleaner_id or "")
            presented.append(
                schemas.Booking(
                    id=each.id,
                    reference=each.reference,
                    state=BookingState(each.state),
                    client=schemas.BookingClient(id=client.id, full_name=client.full_name),
                    cleaner=cleaner
                    and schemas.BookingCleaner(id=cleaner.id, full_name=cleaner.full_name, rating=ratings[cleaner.id]),
                    service_id=each.service_id,
                    service_name=each.service_name,
                    starts_at=each.starts_at,
                    ends_at=each.ends_at,
                    duration_minutes=int((each.ends_at - each.starts_at).total_seconds()) // 60,
                    address=each.address,
                    notes=each.notes,
                    price=each.price,
                    currency=each.currency,
                    quote=schemas.BookedQuote.model_validate(each.quote),
                    cancellation_fee=each.cancellation_fee,
                    free_cancellation_until=policy.free_cancellation_until(self._settings, each.starts_at),
                    version=each.version,
                    created_at=each.created_at,
                    updated_at=each.updated_at,
                )
            )
        return presented

    def present_history(self, session: Session, events: Sequence[BookingEvent]) -> list[schemas.HistoryEntry]:
        """Present the events, in the same order."""
        people = self._accounts.people(session, {each.actor_id for each in events if each.actor_id})
        entries = []
        for each in events:
            person = people.get(each.actor_id or "")
            actor = person and schemas.HistoryActor(id=person.id, full_name=person.full_name, role=person.role)
            entries.append(
                schemas.HistoryEntry(
                    at=each.at, actor=actor, kind=each.kind, state=BookingState(each.state), details=each.details
                )
            )
        return entries
