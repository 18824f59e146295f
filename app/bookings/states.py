"""The life of a booking as one table: who may do what, from which states, and where it leads."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.bookings.models import BookingState
from app.bookings.problems import WrongState
from app.kit.actor import Actor, Role

OPEN = frozenset({BookingState.REQUESTED, BookingState.CONFIRMED, BookingState.ASSIGNED})
"""Not begun and not given up."""
ANY = frozenset(BookingState)


class Who(StrEnum):
    """What somebody is to a booking that they can see."""

    CLIENT = "client"
    """Whose booking it is."""
    CLEANER = "cleaner"
    """Who is assigned to it."""
    OFFICE = "office"


BY_ROLE = {Role.CLIENT: Who.CLIENT, Role.CLEANER: Who.CLEANER, Role.MANAGER: Who.OFFICE, Role.ADMIN: Who.OFFICE}


class Transition(StrEnum):
    """What can be done with a booking."""

    CHANGE = "change"
    RESCHEDULE = "reschedule"
    CONFIRM = "confirm"
    ASSIGN = "assign"
    START = "start"
    COMPLETE = "complete"
    MISS = "no-show"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    event: str
    """Its name in the history and, after `booking.`, in the audit log."""
    sources: Mapping[Who, frozenset[BookingState]]
    """Who may do it, and in which states."""
    target: BookingState | None
    """The state afterwards; None: as before."""


RULES: Mapping[Transition, Rule] = {
    Transition.CHANGE: Rule("changed", {Who.CLIENT: OPEN, Who.OFFICE: ANY}, None),
    Transition.RESCHEDULE: Rule("rescheduled", {Who.CLIENT: OPEN, Who.OFFICE: OPEN}, None),
    Transition.CONFIRM: Rule("confirmed", {Who.OFFICE: frozenset({BookingState.REQUESTED})}, BookingState.CONFIRMED),
    Transition.ASSIGN: Rule("assigned", {Who.OFFICE: OPEN}, BookingState.ASSIGNED),
    Transition.START: Rule(
        "started",
        {Who.CLEANER: frozenset({BookingState.ASSIGNED}), Who.OFFICE: frozenset({BookingState.ASSIGNED})},
        BookingState.IN_PROGRESS,
    ),
    Transition.COMPLETE: Rule(
        "completed",
        {Who.CLEANER: frozenset({BookingState.IN_PROGRESS}), Who.OFFICE: frozenset({BookingState.IN_PROGRESS})},
        BookingState.COMPLETED,
    ),
    Transition.MISS: Rule(
        "no_show",
        {
            Who.CLEANER: frozenset({BookingState.ASSIGNED, BookingState.IN_PROGRESS}),
            Who.OFFICE: frozenset({BookingState.ASSIGNED, BookingState.IN_PROGRESS}),
        },
        BookingState.NO_SHOW,
    ),
    Transition.CANCEL: Rule("cancelled", {Who.CLIENT: OPEN, Who.OFFICE: OPEN}, BookingState.CANCELLED),
}


def permits(transition: Transition, role: Role) -> bool:
    """Whether the role may do this with some booking at all."""
    return BY_ROLE[role] in RULES[transition].sources


def require(transition: Transition, actor: Actor, state: str) -> None:
    """Check that the actor may do this in this state; the role itself is known to permit it.

    Raises:
        WrongState: it goes from other states only.
    """
    sources = RULES[transition].sources[BY_ROLE[actor.role]]
    if state not in sources:
        names = ", ".join(each for each in BookingState if each in sources)
        raise WrongState(f"The booking is {state}; {transition} is possible only from: {names}.")
