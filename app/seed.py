"""`python -m app seed`: a small company to try things on, in an empty database."""

import asyncio
import random
import sys
from datetime import timedelta

from fastapi import Response
from sqlmodel import Session, select

from app.accounts.fields import NewPassword
from app.accounts.models import Language, UserAccount
from app.accounts.problems import EmailTaken
from app.accounts.schemas import AccountChange, Registration
from app.bookings import assignment
from app.bookings.history import apply_transition
from app.bookings.models import BookingEvent, BookingRecord, BookingState
from app.bookings.schemas import NewBooking
from app.bookings.states import Transition
from app.catalog.schemas import NewExtra, NewService, QuoteRequest
from app.kit import logs
from app.kit.actor import Actor, Role
from app.kit.conditional import ANY_VERSION
from app.kit.idempotency import Attempt
from app.kit.metrics import Metrics
from app.kit.models import now
from app.kit.problems import Problem
from app.kit.throttle import Throttles
from app.reviews.schemas import ReviewRequest
from app.services import Services
from app.settings import load_settings_or_exit

PASSWORD = "correct horse battery"  # noqa: S105  # of people who exist only to try things out
MANAGER = "office@example.com"
ADMIN = "admin@example.com"
CLEANERS = ("Boris Ivanov", "Maria Schmidt", "Olga Petrova", "Jonas Weber")
CLIENTS = (
    ("Ann Example", Language.ENGLISH),
    ("Анна Кузнецова", Language.RUSSIAN),
    ("Paul Meyer", Language.ENGLISH),
    ("Дмитрий Орлов", Language.RUSSIAN),
    ("Sophie Laurent", Language.ENGLISH),
    ("Tom Becker", Language.ENGLISH),
)
SERVICES = (
    NewService(
        name="Regular cleaning", position=10, base_price=1500, price_per_square_metre=60, base_minutes=30,
        seconds_per_square_metre=90, description="Dusting, floors, kitchen and bathroom",
    ),
    NewService(
        name="Deep cleaning", position=20, base_price=3000, price_per_square_metre=120, base_minutes=60,
        seconds_per_square_metre=180, description="Everything, also behind and under",
    ),
    NewService(
        name="Move-out cleaning", position=30, base_price=5000, price_per_room=4500, base_minutes=60,
        minutes_per_room=45, description="Ready to hand over the keys",
    ),
    NewService(name="Office by the hour", position=40, price_per_hour=3200, description="In the evening, if you like"),
)  # fmt: skip
EXTRAS = (
    NewExtra(name="Windows", position=10, price=500, minutes=10, maximum_quantity=20),
    NewExtra(name="Oven", position=20, price=1500, minutes=30),
)
PAST = 18
"""Bookings of the last weeks; as many visits lie before us as FUTURE says."""
FUTURE = 12
SHIFT = timedelta(weeks=3)
REVIEWED = 0.7
ENDS = {
    BookingState.COMPLETED: (Transition.START, Transition.COMPLETE),
    BookingState.CANCELLED: (Transition.CANCEL,),
    BookingState.NO_SHOW: (Transition.MARK_NO_SHOW,),
}
COMMENTS = ("Spotless, thank you!", "Very friendly.", "Всё чисто, спасибо!", "On time and thorough.")


def main() -> int:
    """Fill the database; returns the exit code."""
    settings = load_settings_or_exit().model_copy(update={"smtp_host": "", "email_verification_required": False})
    with logs.running(settings):
        services = Services(settings, Metrics(), Throttles.of(settings))
        try:
            said = asyncio.run(_run(services))
        except Problem as error:
            sys.stderr.write(f"The database could not be filled: {error.detail}\n")
            return 1
    if said is None:
        sys.stderr.write("Nothing has changed: the database has accounts already, and this is for an empty one.\n")
        return 1
    sys.stdout.write(said)
    return 0


async def _run(services: Services) -> str | None:
    try:
        known = await services.database.read(_known)
        if known:
            return "unchanged\n" if MANAGER in known else None
        await _Seeder(services).run()
    finally:
        await services.close()
    return (
        "created\n"
        f"For trying out only: everybody's password is `{PASSWORD}`.\n"
        f"  administrator  {ADMIN}\n  manager        {MANAGER}\n  cleaner        cleaner-1@example.com\n"
        "  client         client-1@example.com\n"
    )


def _known(session: Session) -> set[str]:
    """The manager's address where it has one, else that of anybody who is there."""
    manager = select(UserAccount.email).where(UserAccount.email == MANAGER)
    return set(session.exec(manager)) or set(session.exec(select(UserAccount.email).limit(1)))


class _Seeder:
    """Makes the company; the manager comes last, as the sign that all is there."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._chance = random.Random(1)  # noqa: S311  # the same company every time
        self._admin = Actor("", Role.ADMIN, "")

    async def run(self) -> None:
        """Make everything."""
        await self._services.accounts.create_admin(self._registration(ADMIN, "Ada Admin"))
        admin = await self._services.database.read(lambda session: session.exec(select(UserAccount.id)).one())
        self._admin = Actor(admin, Role.ADMIN, "")
        for number, name in enumerate(CLEANERS, 1):
            await self._person(f"cleaner-{number}@example.com", name, Role.CLEANER)
        clients = [
            await self._person(f"client-{number}@example.com", name, Role.CLIENT, language)
            for number, (name, language) in enumerate(CLIENTS, 1)
        ]
        orders = [await self._offer(service) for service in SERVICES]
        for number in range(PAST + FUTURE):
            client = self._chance.choice(clients)
            booking = await self._book(client, self._chance.choice(orders), number)
            if number < PAST:
                await self._let_it_happen(client, booking)
        await self._person(MANAGER, "Mia Manager", Role.MANAGER)

    def _registration(self, email: str, name: str, language: Language = Language.ENGLISH) -> Registration:
        return Registration(email=email, password=NewPassword(PASSWORD), full_name=name, language=language)

    async def _person(self, email: str, name: str, role: Role, language: Language = Language.ENGLISH) -> str:
        account = await self._services.accounts.register(self._registration(email, name, language), _once(), "seed")
        if account is None:  # only where addresses are verified, which `main` has turned off
            raise EmailTaken
        if role is not Role.CLIENT:
            change = AccountChange(role=role)
            await self._services.accounts.directory.change(self._admin, account.id, change, ANY_VERSION)
        return account.id

    async def _offer(self, new: NewService) -> dict[str, object]:
        """Add the service; returns an order that fits it."""
        service = await self._services.catalog.add_service(self._admin, new, _once())
        for extra in EXTRAS:
            await self._services.catalog.add_extra(self._admin, service.id, extra, _once())
        fitting: dict[str, object] = {"square_metres": 60, "rooms": 2, "hours": 3}
        return {"service_id": service.id} | {name: fitting[name] for name in service.measures}

    async def _book(self, client: str, order: dict[str, object], number: int) -> str:
        """Book at some free time of the next two weeks."""
        quote = await self._services.catalog.read_quote(QuoteRequest.model_validate(order))
        first = now().astimezone(self._services.settings.zone).date() + timedelta(days=1)
        found = await self._services.staff.availability(first, 14, quote.duration_minutes)
        starts = [slot.starts_at for day in found.days for slot in day.slots]
        wish = order | {"starts_at": self._chance.choice(starts).isoformat(), "address": f"Main Street {number + 1}"}
        actor = Actor(client, Role.CLIENT, "")
        return (await self._services.bookings.create(actor, NewBooking.model_validate(wish), _once())).id

    async def _let_it_happen(self, client: str, booking: str) -> None:
        """Move the visit into the last weeks, let it take place or not, and most clients say how it was."""
        end = self._chance.choices((BookingState.COMPLETED, BookingState.CANCELLED, BookingState.NO_SHOW), (8, 2, 1))[0]
        await self._services.database.write(lambda session: _move_into_the_past(session, booking, end))
        if end is BookingState.COMPLETED and self._chance.random() < REVIEWED:
            review = ReviewRequest(stars=self._chance.choice((4, 5, 5, 5)), comment=self._chance.choice(COMMENTS))
            await self._services.reviews.add(Actor(client, Role.CLIENT, ""), booking, review, _once())


def _move_into_the_past(session: Session, booking_id: str, end: BookingState) -> None:
    booking = session.get_one(BookingRecord, booking_id)
    assignment.release_slots(session, booking)
    for event in session.exec(select(BookingEvent).where(BookingEvent.booking_id == booking_id)):
        event.at -= SHIFT
    booking.created_at -= SHIFT
    booking.starts_at, booking.ends_at = booking.starts_at - SHIFT, booking.ends_at - SHIFT
    for transition in ENDS[end]:
        apply_transition(session, booking, transition, None)


def _once() -> Attempt:
    """A request that is not repeated."""
    return Attempt(None, "", Response())
