"""Tells the client and the cleaner what happens to their visit."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from app.accounts.service import Accounts, Person
from app.bookings.models import Booking
from app.kit.money import formatted
from app.notifications.service import Notifications, Recipient, Template
from app.settings import Settings


class Messages:
    """Writes them in the transaction that changes the booking."""

    def __init__(self, settings: Settings, accounts: Accounts, notifications: Notifications) -> None:
        self._settings = settings
        self._accounts = accounts
        self._notifications = notifications

    def received(self, session: Session, booking: Booking) -> None:
        """The booking waits for the office."""
        self._client(session, booking, Template.BOOKING_RECEIVED)

    def confirmed(self, session: Session, booking: Booking) -> None:
        """The office has said yes."""
        self._client(session, booking, Template.BOOKING_CONFIRMED)

    def assigned(self, session: Session, booking: Booking, *, before: str | None) -> None:
        """Somebody goes; `before` is the cleaner who had it until now."""
        if before == booking.cleaner_id:
            return
        self._client(session, booking, Template.BOOKING_ASSIGNED)
        self._cleaner(session, booking, Template.VISIT_ASSIGNED, booking.cleaner_id)
        self._cleaner(session, booking, Template.VISIT_CANCELLED, before)

    def unassigned(self, session: Session, booking: Booking, *, before: str | None) -> None:
        """Nobody goes yet; the client is told as soon as somebody does. `before` is the cleaner until now."""
        self._cleaner(session, booking, Template.VISIT_CANCELLED, before)

    def uncovered(self, session: Session, bookings: Sequence[Booking], before: str) -> None:
        """These visits need a cleaner since `before` cannot do them: one message to each person of the office."""
        people = self._accounts.people(session, [before])
        references = ", ".join(f"{each.reference} ({self._when(each.starts_at)})" for each in bookings)
        cleaner = people[before].full_name if before in people else ""
        for person in self._accounts.office_members(session):
            recipient = Recipient(person.id, person.email, person.full_name, person.language)
            self._notifications.notify(
                session,
                Template.COVER_MISSING,
                recipient,
                about_id=before,
                references=references,
                cleaner=cleaner,
            )

    def rescheduled(self, session: Session, booking: Booking, *, before: str | None, starts_at: datetime) -> None:
        """It takes place at another time; `before` and `starts_at` are what held until now."""
        self._client(session, booking, Template.BOOKING_RESCHEDULED)
        if before == booking.cleaner_id:
            self._cleaner(session, booking, Template.VISIT_RESCHEDULED, before)
        else:
            self._cleaner(session, booking, Template.VISIT_ASSIGNED, booking.cleaner_id)
            self._cleaner(session, booking, Template.VISIT_CANCELLED, before, when=self._when(starts_at))

    def cancelled(self, session: Session, booking: Booking, reason: str, *, tell_client: bool = True) -> None:
        """It does not take place."""
        if tell_client:
            self._client(session, booking, Template.BOOKING_CANCELLED, reason=reason)
        self._cleaner(session, booking, Template.VISIT_CANCELLED, booking.cleaner_id, reason=reason)

    def _client(self, session: Session, booking: Booking, template: Template, **facts: str) -> None:
        self._tell(session, booking, template, booking.client_id, facts)

    def _cleaner(
        self, session: Session, booking: Booking, template: Template, cleaner_id: str | None, **facts: str
    ) -> None:
        if cleaner_id is not None:
            self._tell(session, booking, template, cleaner_id, facts)

    def _tell(
        self, session: Session, booking: Booking, template: Template, account_id: str, facts: dict[str, str]
    ) -> None:
        wanted = {account_id, booking.client_id} | ({booking.cleaner_id} - {None})
        people = self._accounts.people(session, [each for each in wanted if each is not None])
        person = people.get(account_id)
        if person is None or not person.is_active:
            return
        recipient = Recipient(person.id, person.email, person.full_name, person.language)
        facts = self._facts(booking, people, person.language) | facts
        other = booking.cleaner_id if account_id == booking.client_id else booking.client_id
        self._notifications.notify(session, template, recipient, about_id=other, **facts)

    def _facts(self, booking: Booking, people: dict[str, Person], language: str) -> dict[str, str]:
        cleaner = people.get(booking.cleaner_id or "")
        client = people.get(booking.client_id)
        return {
            "reference": booking.reference,
            "service": booking.service_name,
            "when": self._when(booking.starts_at),
            "address": booking.address,
            "price": formatted(booking.price, booking.currency, language),
            "cleaner": cleaner.full_name if cleaner else "",
            "client": client.full_name if client else "",
            "reason": "",
            "fee": formatted(booking.cancellation_fee, booking.currency, language),
        }

    def _when(self, at: datetime) -> str:
        return at.astimezone(self._settings.zone).strftime("%Y-%m-%d %H:%M")
