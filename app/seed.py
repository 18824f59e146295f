"""`python -m app seed`: fill an empty database with a small demo company."""

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

PASSWORD = "correct horse battery"  # noqa: S105  # of demo accounts
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
PAST_BOOKINGS = 18
FUTURE_BOOKINGS = 12
PAST_SHIFT = timedelta(weeks=3)
"""Past bookings are created in the next two weeks, then moved into the past by this time."""
REVIEW_PROBABILITY = 0.7
FINAL_TRANSITIONS = {
    BookingState.COMPLETED: (Transition.START, Transition.COMPLETE),
    BookingState.CANCELLED: (Transition.CANCEL,),
    BookingState.NO_SHOW: (Transition.MARK_NO_SHOW,),
}
COMMENTS = ("Spotless, thank you!", "Very friendly.", "Всё чисто, спасибо!", "On time and thorough.")


def main() -> int:
    """Fill the database, and return the exit code."""
    settings = load_settings_or_exit().model_copy(update={"smtp_host": "", "email_verification_required": False})
    with logs.running(settings):
        services = Services(settings, Metrics(), Throttles.of(settings))
        try:
            output = asyncio.run(_run(services))
        except Problem as error:
            sys.stderr.write(f"The database could not be filled: {error.detail}\n")
            return 1
    if output is None:
        sys.stderr.write("Nothing has changed: the database already has accounts, and seed needs an empty one.\n")
        return 1
    sys.stdout.write(output)
    return 0


async def _run(services: Services) -> str | None:
    try:
        existing = await services.database.read(_existing_addresses)
        if existing:
            return "unchanged\n" if MANAGER in existing else None
        await _Seeder(services).run()
    finally:
        await services.close()
    return (
        "created\n"
        f"For demonstration only: the password of all accounts is `{PASSWORD}`.\n"
        f"  administrator  {ADMIN}\n  manager        {MANAGER}\n  cleaner        cleaner-1@example.com\n"
        "  client         client-1@example.com\n"
    )


def _existing_addresses(session: Session) -> set[str]:
    """Return the address of the demo manager if it exists, else the address of any account."""
    manager = select(UserAccount.email).where(UserAccount.email == MANAGER)
    return set(session.exec(manager)) or set(session.exec(select(UserAccount.email).limit(1)))


class _Seeder:
    """Creates the company. The manager's account comes last and marks a complete seed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._random = random.Random(1)  # noqa: S311  # the same company every time
        self._admin = Actor("", Role.ADMIN, "")

    async def run(self) -> None:
        """Create accounts, services, bookings and reviews."""
        await self._services.accounts.create_admin(self._registration(ADMIN, "Ada Admin"))
        admin = await self._services.database.read(lambda session: session.exec(select(UserAccount.id)).one())
        self._admin = Actor(admin, Role.ADMIN, "")
        for number, name in enumerate(CLEANERS, 1):
            await self._add_account(f"cleaner-{number}@example.com", name, Role.CLEANER)
        clients = [
            await self._add_account(f"client-{number}@example.com", name, Role.CLIENT, language)
            for number, (name, language) in enumerate(CLIENTS, 1)
        ]
        orders = [await self._add_service(service) for service in SERVICES]
        for number in range(PAST_BOOKINGS + FUTURE_BOOKINGS):
            client = self._random.choice(clients)
            booking = await self._book(client, self._random.choice(orders), number)
            if number < PAST_BOOKINGS:
                await self._finish(client, booking)
        await self._add_account(MANAGER, "Mia Manager", Role.MANAGER)

    def _registration(self, email: str, name: str, language: Language = Language.ENGLISH) -> Registration:
        return Registration(email=email, password=NewPassword(PASSWORD), full_name=name, language=language)

    async def _add_account(self, email: str, name: str, role: Role, language: Language = Language.ENGLISH) -> str:
        account = await self._services.accounts.register(
            self._registration(email, name, language), _unrepeated_request(), "seed"
        )
        if account is None:  # never, because `main` turns off the verification of addresses
            raise EmailTaken
        if role is not Role.CLIENT:
            change = AccountChange(role=role)
            await self._services.accounts.directory.change(self._admin, account.id, change, ANY_VERSION)
        return account.id

    async def _add_service(self, new: NewService) -> dict[str, object]:
        """Add a service, and return a matching order."""
        service = await self._services.catalog.add_service(self._admin, new, _unrepeated_request())
        for extra in EXTRAS:
            await self._services.catalog.add_extra(self._admin, service.id, extra, _unrepeated_request())
        sizes: dict[str, object] = {"square_metres": 60, "rooms": 2, "hours": 3}
        return {"service_id": service.id} | {name: sizes[name] for name in service.measures}

    async def _book(self, client: str, order: dict[str, object], number: int) -> str:
        """Book a visit at a random free time in the next two weeks, and return the id of the booking."""
        quote = await self._services.catalog.read_quote(QuoteRequest.model_validate(order))
        first = now().astimezone(self._services.settings.zone).date() + timedelta(days=1)
        availability = await self._services.staff.availability(first, 14, quote.duration_minutes)
        starts = [slot.starts_at for day in availability.days for slot in day.slots]
        body = order | {"starts_at": self._random.choice(starts).isoformat(), "address": f"Main Street {number + 1}"}
        actor = Actor(client, Role.CLIENT, "")
        return (await self._services.bookings.create(actor, NewBooking.model_validate(body), _unrepeated_request())).id

    async def _finish(self, client: str, booking: str) -> None:
        """Move the visit into the past, bring it to a random final state, and review most completed visits."""
        final_states = (BookingState.COMPLETED, BookingState.CANCELLED, BookingState.NO_SHOW)
        (state,) = self._random.choices(final_states, (8, 2, 1))
        await self._services.database.write(lambda session: _move_into_the_past(session, booking, state))
        if state is BookingState.COMPLETED and self._random.random() < REVIEW_PROBABILITY:
            review = ReviewRequest(stars=self._random.choice((4, 5, 5, 5)), comment=self._random.choice(COMMENTS))
            await self._services.reviews.add(Actor(client, Role.CLIENT, ""), booking, review, _unrepeated_request())


def _move_into_the_past(session: Session, booking_id: str, final_state: BookingState) -> None:
    booking = session.get_one(BookingRecord, booking_id)
    assignment.release_slots(session, booking)
    for event in session.exec(select(BookingEvent).where(BookingEvent.booking_id == booking_id)):
        event.at -= PAST_SHIFT
    booking.created_at -= PAST_SHIFT
    booking.starts_at, booking.ends_at = booking.starts_at - PAST_SHIFT, booking.ends_at - PAST_SHIFT
    for transition in FINAL_TRANSITIONS[final_state]:
        apply_transition(session, booking, transition, None)


def _unrepeated_request() -> Attempt:
    """Return a request without an Idempotency-Key."""
    return Attempt(None, "", Response())
