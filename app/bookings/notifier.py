"""Notifies clients, cleaners and the office about changes of bookings."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from app.accounts.service import Accounts, Person
from app.bookings.models import BookingRecord
from app.kit.money import formatted
from app.notifications.service import Notifications, Recipient, Template
from app.settings import Settings


class BookingNotifier:
    """Writes notifications in the transaction that changes the booking; call it after the change."""

    def __init__(self, settings: Settings, accounts: Accounts, notifications: Notifications) -> None:
        self._settings = settings
        self._accounts = accounts
        self._notifications = notifications

    def notify_received(self, session: Session, booking: BookingRecord) -> None:
        """Tell the client that the booking waits for confirmation."""
        self._notify_client(session, booking, Template.BOOKING_RECEIVED)

    def notify_confirmed(self, session: Session, booking: BookingRecord) -> None:
        """Tell the client that the office has confirmed the booking."""
        self._notify_client(session, booking, Template.BOOKING_CONFIRMED)

    def notify_assigned(self, session: Session, booking: BookingRecord, *, previous_cleaner_id: str | None) -> None:
        """Tell the client, the assigned cleaner and the previous cleaner, if the cleaner has changed."""
        if previous_cleaner_id == booking.cleaner_id:
            return
        self._notify_client(session, booking, Template.BOOKING_ASSIGNED)
        self._notify_cleaner(session, booking, Template.VISIT_ASSIGNED, booking.cleaner_id)
        self._notify_cleaner(session, booking, Template.VISIT_CANCELLED, previous_cleaner_id)

    def notify_unassigned(self, session: Session, booking: BookingRecord, *, previous_cleaner_id: str | None) -> None:
        """Tell only the previous cleaner; the client is notified when another cleaner is assigned."""
        self._notify_cleaner(session, booking, Template.VISIT_CANCELLED, previous_cleaner_id)

    def notify_uncovered(self, session: Session, bookings: Sequence[BookingRecord], previous_cleaner_id: str) -> None:
        """Tell each person of the office, in one message, that these bookings have lost their cleaner."""
        people = self._accounts.people(session, [previous_cleaner_id])
        references = ", ".join(f"{each.reference} ({self._local_time(each.starts_at)})" for each in bookings)
        cleaner = people[previous_cleaner_id].full_name if previous_cleaner_id in people else ""
        for person in self._accounts.office_members(session):
            recipient = Recipient(person.id, person.email, person.full_name, person.language)
            self._notifications.notify(
                session,
                Template.COVER_MISSING,
                recipient,
                about_id=previous_cleaner_id,
                references=references,
                cleaner=cleaner,
            )

    def notify_rescheduled(
        self,
        session: Session,
        booking: BookingRecord,
        *,
        previous_cleaner_id: str | None,
        previous_starts_at: datetime,
    ) -> None:
        """Tell the client, the assigned cleaner and, if the cleaner has changed, the previous one."""
        self._notify_client(session, booking, Template.BOOKING_RESCHEDULED)
        if previous_cleaner_id == booking.cleaner_id:
            self._notify_cleaner(session, booking, Template.VISIT_RESCHEDULED, previous_cleaner_id)
        else:
            self._notify_cleaner(session, booking, Template.VISIT_ASSIGNED, booking.cleaner_id)
            previous_time = self._local_time(previous_starts_at)
            self._notify_cleaner(session, booking, Template.VISIT_CANCELLED, previous_cleaner_id, when=previous_time)

    def notify_cancelled(
        self, session: Session, booking: BookingRecord, reason: str, *, notify_client: bool = True
    ) -> None:
        """Tell the assigned cleaner and, unless `notify_client` is false, the client."""
        if notify_client:
            self._notify_client(session, booking, Template.BOOKING_CANCELLED, reason=reason)
        self._notify_cleaner(session, booking, Template.VISIT_CANCELLED, booking.cleaner_id, reason=reason)

    def _notify_client(self, session: Session, booking: BookingRecord, template: Template, **facts: str) -> None:
        self._notify(session, booking, template, booking.client_id, facts)

    def _notify_cleaner(
        self, session: Session, booking: BookingRecord, template: Template, cleaner_id: str | None, **facts: str
    ) -> None:
        if cleaner_id is not None:
            self._notify(session, booking, template, cleaner_id, facts)

    def _notify(
        self, session: Session, booking: BookingRecord, template: Template, account_id: str, facts: dict[str, str]
    ) -> None:
        account_ids = {account_id, booking.client_id} | ({booking.cleaner_id} - {None})
        people = self._accounts.people(session, [each for each in account_ids if each is not None])
        person = people.get(account_id)
        if person is None or not person.is_active:
            return
        recipient = Recipient(person.id, person.email, person.full_name, person.language)
        facts = self._facts(booking, people, person.language) | facts
        other = booking.cleaner_id if account_id == booking.client_id else booking.client_id
        self._notifications.notify(session, template, recipient, about_id=other, **facts)

    def _facts(self, booking: BookingRecord, people: dict[str, Person], language: str) -> dict[str, str]:
        cleaner = people.get(booking.cleaner_id or "")
        client = people.get(booking.client_id)
        return {
            "reference": booking.reference,
            "service": booking.service_name,
            "when": self._local_time(booking.starts_at),
            "address": booking.address,
            "price": formatted(booking.price, booking.currency, language),
            "cleaner": cleaner.full_name if cleaner else "",
            "client": client.full_name if client else "",
            "reason": "",
            "fee": formatted(booking.cancellation_fee, booking.currency, language),
        }

    def _local_time(self, at: datetime) -> str:
        return at.astimezone(self._settings.zone).strftime("%Y-%m-%d %H:%M")
