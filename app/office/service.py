"""Lists, schedules and key figures for managers."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date

from sqlmodel import Session

from app.accounts.service import Accounts
from app.bookings.queries import BookingFilters
from app.bookings.schemas import Booking
from app.bookings.service import Bookings
from app.kit import audit, outbox
from app.kit.actor import Actor
from app.kit.database import Database
from app.kit.outbox import NotificationState, Outbox, OutboxMessage
from app.kit.pagination import Page, Paging
from app.kit.problems import NotFound
from app.office.problems import NotDead
from app.office.schemas import AuditEntry, CleanerDay, CleanerLoad, Figures, Message
from app.settings import Settings
from app.staff.calendar import Interval, day_interval
from app.staff.service import Staff


class Office:
    """The operations of the office. Only `retry_message` writes."""

    def __init__(  # noqa: PLR0913  # the features it depends on
        self,
        settings: Settings,
        database: Database,
        *,
        accounts: Accounts,
        staff: Staff,
        bookings: Bookings,
        outbox: Outbox,
    ) -> None:
        self._settings = settings
        self._database = database
        self._accounts = accounts
        self._staff = staff
        self._bookings = bookings
        self._outbox = outbox

    async def bookings(self, filters: BookingFilters, q: str | None, paging: Paging) -> Page[Booking]:
        """Bookings of all clients, latest visits first.

        Args:
            filters: the filters to apply.
            q: a booking reference, or a search text for clients.
            paging: the page to return.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """
        return await self._database.read(
            lambda session: self._bookings.listing(session, self._add_search(session, filters, q), paging)
        )

    async def schedule(self, day: date, paging: Paging) -> Page[CleanerDay]:
        """Each cleaner's visits on a day in BUSINESS_TIMEZONE; cleaners who joined first come first.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """
        interval = day_interval(day, self._settings.zone)

        def read(session: Session) -> Page[CleanerDay]:
            cleaners = self._staff.cleaner_page(session, paging)
            visits: dict[str, list[Booking]] = {each.id: [] for each in cleaners.items}
            for visit in self._bookings.visits_in(session, visits.keys(), interval):
                if visit.cleaner:
                    visits[visit.cleaner.id].append(visit)
            items = [
                CleanerDay(
                    cleaner_id=each.id, full_name=each.full_name, is_bookable=each.is_bookable, visits=visits[each.id]
                )
                for each in cleaners.items
            ]
            return Page(items=items, next_cursor=cleaners.next_cursor)

        return await self._database.read(read)

    async def figures(self, first: date, last: date) -> Figures:
        """The key figures of a period; both days are included."""
        zone = self._settings.zone
        period = Interval(day_interval(first, zone).start, day_interval(last, zone).end)

        def read(session: Session) -> Figures:
            totals = self._bookings.period_totals(session, period.start, period.end)
            profiles = self._staff.profiles(session, totals.minutes)
            load = [
                CleanerLoad(cleaner_id=each, full_name=profiles[each].full_name, minutes=minutes)
                for each, minutes in totals.minutes.items()
            ]
            return Figures(
                first_day=first,
                last_day=last,
                timezone=zone.key,
                bookings=sum(totals.bookings.values()),
                by_state=totals.bookings,
                cancellations=totals.cancellations,
                revenue=totals.revenue,
                currency=self._settings.currency,
                load=sorted(load, key=lambda each: (-each.minutes, each.full_name, each.cleaner_id)),
            )

        return await self._database.read(read)

    async def messages(self, states: Collection[NotificationState], paging: Paging) -> Page[Message]:
        """Notifications in the given states, newest first.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """

        def read(session: Session) -> Page[Message]:
            rows, cursor = outbox.listing(session, paging, states)
            return Page(items=[Message.model_validate(row) for row in rows], next_cursor=cursor)

        return await self._database.read(read)

    async def retry_message(self, actor: Actor, message_id: str) -> Message:
        """Reset the attempts of a dead letter, and send it again.

        Raises:
            NotFound: the message does not exist.
            NotDead: the message is not a dead letter.
        """

        def write(session: Session) -> Message:
            message = session.get(OutboxMessage, message_id, with_for_update=True)
            if message is None:
                raise NotFound
            if message.state != NotificationState.DEAD:
                raise NotDead
            self._outbox.revive(session, message)
            audit.record(session, "message.revived", actor_id=actor.id, subject_id=message_id)
            return Message.model_validate(message)

        return await self._database.write(write)

    async def audit(
        self, actor_id: str | None, subject_id: str | None, actions: Collection[str], paging: Paging
    ) -> Page[AuditEntry]:
        """The audit log, newest first.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """

        def read(session: Session) -> Page[AuditEntry]:
            rows, cursor = audit.listing(session, paging, actor_id=actor_id, subject_id=subject_id, actions=actions)
            return Page(items=[AuditEntry.model_validate(row) for row in rows], next_cursor=cursor)

        return await self._database.read(read)

    def _add_search(self, session: Session, filters: BookingFilters, q: str | None) -> BookingFilters:
        if q is None:
            return filters
        if self._bookings.has_reference(session, q.upper()):
            return replace(filters, reference=q.upper())
        client_ids = set(self._accounts.search(session, q))
        if filters.client_ids is not None:
            client_ids &= set(filters.client_ids)
        return replace(filters, client_ids=sorted(client_ids))
