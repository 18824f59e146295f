"""What managers look at."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

from sqlmodel import Session

from app.accounts.service import Accounts
from app.bookings.queries import Filters
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


@dataclass(frozen=True)
class Features:
    """The other features that the office looks at."""

    accounts: Accounts
    staff: Staff
    bookings: Bookings
    outbox: Outbox


class Office:
    """Lists, the schedule, figures; all of them only to read, but for dead letters."""

    def __init__(self, settings: Settings, database: Database, features: Features) -> None:
        self._settings = settings
        self._database = database
        self._accounts = features.accounts
        self._staff = features.staff
        self._bookings = features.bookings
        self._outbox = features.outbox

    async def bookings(self, filters: Filters, q: str | None, paging: Paging) -> Page[Booking]:
        """Anybody's bookings, the latest visits first.

        Args:
            filters: which ones.
            q: a reference, or what a client can be found by.
            paging: which page.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        return await self._database.read(
            lambda session: self._bookings.listing(session, self._searched(session, filters, q), paging)
        )

    async def schedule(self, day: date, paging: Paging) -> Page[CleanerDay]:
        """What each cleaner has to do on a day of the business, the longest-serving first.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        interval = day_interval(day, self._settings.zone)

        def read(session: Session) -> Page[CleanerDay]:
            cleaners = self._staff.cleaner_page(session, paging)
            visits: dict[str, list[Booking]] = {each.id: [] for each in cleaners.items}
            for visit in self._bookings.day(session, visits.keys(), interval):
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
        """A period in numbers; both days are included."""
        zone = self._settings.zone
        period = Interval(day_interval(first, zone).start, day_interval(last, zone).end)

        def read(session: Session) -> Figures:
            found = self._bookings.figures(session, period.start, period.end)
            profiles = self._staff.profiles(session, found.minutes)
            load = [
                CleanerLoad(cleaner_id=each, full_name=profiles[each].full_name, minutes=minutes)
                for each, minutes in found.minutes.items()
            ]
            return Figures(
                first_day=first,
                last_day=last,
                timezone=zone.key,
                bookings=sum(found.bookings.values()),
                by_state=found.bookings,
                cancellations=found.cancellations,
                revenue=found.revenue,
                currency=self._settings.currency,
                load=sorted(load, key=lambda each: (-each.minutes, each.full_name, each.cleaner_id)),
            )

        return await self._database.read(read)

    async def messages(self, states: Collection[NotificationState], paging: Paging) -> Page[Message]:
        """Notifications in one of these states, the newest first.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """

        def read(session: Session) -> Page[Message]:
            rows, cursor = outbox.listing(session, paging, states)
            return Page(items=[Message.model_validate(row) for row in rows], next_cursor=cursor)

        return await self._database.read(read)

    async def send_again(self, actor: Actor, message_id: str) -> Message:
        """Give a dead letter all its attempts again.

        Raises:
            NotFound: there is no such message.
            NotDead: it has not failed.
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
        """The audit log, the newest first.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """

        def read(session: Session) -> Page[AuditEntry]:
            rows, cursor = audit.listing(session, paging, actor_id=actor_id, subject_id=subject_id, actions=actions)
            return Page(items=[AuditEntry.model_validate(row) for row in rows], next_cursor=cursor)

        return await self._database.read(read)

    def _searched(self, session: Session, filters: Filters, q: str | None) -> Filters:
        if q is None:
            return filters
        if self._bookings.has_reference(session, q.upper()):
            return replace(filters, reference=q.upper())
        found = set(self._accounts.search(session, q))
        asked = found if filters.client_ids is None else found & set(filters.client_ids)
        return replace(filters, client_ids=sorted(asked))
