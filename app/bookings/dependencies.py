"""Dependencies that say which roles may use an operation at all; whose booking it is, the service checks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from app.accounts.dependencies import InActor, SignedIn
from app.bookings.models import BookingState
from app.bookings.queries import Filters
from app.bookings.schemas import Moment
from app.bookings.states import Transition, permits
from app.catalog.schemas import Identifier
from app.kit.actor import OFFICE, Actor, Role
from app.kit.pagination import PageQuery
from app.kit.problems import Forbidden


@dataclass(frozen=True)
class Task:
    """Somebody wants to change a booking."""

    actor: Actor
    booking_id: str


def may(transition: Transition) -> Callable[[Identifier, Actor], Awaitable[Task]]:
    """Dependency: somebody whose role the state table allows this transition, and the booking of the path."""

    async def permitted(booking_id: Identifier, actor: InActor) -> Task:
        if not permits(transition, actor.role):
            raise Forbidden
        return Task(actor, booking_id)

    return permitted


InBooker = Annotated[Actor, Depends(SignedIn({Role.CLIENT, *OFFICE}))]
"""A client or the office."""
PARTICIPANTS = frozenset({Role.CLIENT, Role.CLEANER})


States = Annotated[list[BookingState], Query(default_factory=list, description="Only these states; all if omitted")]


async def _filters(
    state: States,
    start: Annotated[Moment | None, Query(alias="from", description="Only visits that start at or after it")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="Only visits that start before it")] = None,
) -> Filters:
    return Filters(states=state, start=start, end=end)


InFilters = Annotated[Filters, Depends(_filters)]
"""Which bookings of a list are wanted."""


class Wanted(PageQuery):
    """The query of a list of one's own bookings."""

    state: list[BookingState] = Field(default_factory=list, description="Only these states; all if omitted")
    start: Moment | None = Field(None, alias="from", description="Only visits that start at or after it")
    end: Moment | None = Field(None, alias="to", description="Only visits that start before it")

    @property
    def filters(self) -> Filters:
        """Which bookings."""
        return Filters(states=self.state, start=self.start, end=self.end)
