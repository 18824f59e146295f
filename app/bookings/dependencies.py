"""Dependencies of the booking routes. They check the role; the service checks access to the single booking."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from app.accounts.dependencies import CurrentUser, RequireRole
from app.bookings.models import BookingState
from app.bookings.queries import BookingFilters
from app.bookings.schemas import Timestamp
from app.bookings.states import Transition, permits
from app.catalog.schemas import Identifier
from app.kit.actor import OFFICE, Actor, Role
from app.kit.pagination import PageQuery
from app.kit.problems import Forbidden


@dataclass(frozen=True)
class TransitionRequest:
    """A request to apply a transition to a booking, by an actor whose role permits it."""

    actor: Actor
    booking_id: str


def require_permission(transition: Transition) -> Callable[[Identifier, Actor], Awaitable[TransitionRequest]]:
    """Make a dependency that raises Forbidden unless the state table permits the actor's role this transition."""

    async def check_permission(booking_id: Identifier, actor: CurrentUser) -> TransitionRequest:
        if not permits(transition, actor.role):
            raise Forbidden
        return TransitionRequest(actor, booking_id)

    return check_permission


ClientOrOffice = Annotated[Actor, Depends(RequireRole({Role.CLIENT, *OFFICE}))]
"""The actor: a client, a manager or an administrator."""
PARTICIPANTS = frozenset({Role.CLIENT, Role.CLEANER})
"""Roles that have bookings of their own."""


StateFilter = Annotated[
    list[BookingState], Query(default_factory=list, description="Only these states; all if omitted")
]


async def _filters(
    state: StateFilter,
    start: Annotated[
        Timestamp | None, Query(alias="from", description="Only visits that start at or after this time")
    ] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Only visits that start before this time")] = None,
) -> BookingFilters:
    return BookingFilters(states=state, start=start, end=end)


FilterParameters = Annotated[BookingFilters, Depends(_filters)]
"""The filters that the list operations share."""


class MyBookingsQuery(PageQuery):
    """The query parameters of `list_my_bookings`."""

    state: list[BookingState] = Field(default_factory=list, description="Only these states; all if omitted")
    start: Timestamp | None = Field(None, alias="from", description="Only visits that start at or after this time")
    end: Timestamp | None = Field(None, alias="to", description="Only visits that start before this time")

    @property
    def filters(self) -> BookingFilters:
        """The filters without the paging."""
        return BookingFilters(states=self.state, start=self.start, end=self.end)
