"""The state machine of bookings: which party may make which transition, from which states, to which state."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.bookings.models import BookingState
from app.bookings.problems import WrongState
from app.kit.actor import Actor, Role

OPEN_STATES = frozenset({BookingState.REQUESTED, BookingState.CONFIRMED, BookingState.ASSIGNED})
"""States before the visit has started or the booking is cancelled."""
ANY_STATE = frozenset(BookingState)


class Party(StrEnum):
    """The relation of an actor to a booking."""

    CLIENT = "client"
    CLEANER = "cleaner"
    """The assigned cleaner."""
    OFFICE = "office"


PARTY_BY_ROLE = {
    Role.CLIENT: Party.CLIENT,
    Role.CLEANER: Party.CLEANER,
    Role.MANAGER: Party.OFFICE,
    Role.ADMIN: Party.OFFICE,
}


class Transition(StrEnum):
    """An operation that changes a booking."""

    CHANGE = "change"
    RESCHEDULE = "reschedule"
    CONFIRM = "confirm"
    ASSIGN = "assign"
    START = "start"
    COMPLETE = "complete"
    MARK_NO_SHOW = "no-show"
    CANCEL = "cancel"


@dataclass(frozen=True)
class TransitionRule:
    """The rule for one transition."""

    event: str
    """The event name in the history and, prefixed with `booking.`, in the audit log."""
    sources: Mapping[Party, frozenset[BookingState]]
    """The states from which each party may make the transition; other parties may not make it."""
    target: BookingState | None
    """The resulting state; None if the state does not change."""


RULES: Mapping[Transition, TransitionRule] = {
    Transition.CHANGE: TransitionRule("changed", {Party.CLIENT: OPEN_STATES, Party.OFFICE: ANY_STATE}, None),
    Transition.RESCHEDULE: TransitionRule("rescheduled", {Party.CLIENT: OPEN_STATES, Party.OFFICE: OPEN_STATES}, None),
    Transition.CONFIRM: TransitionRule(
        "confirmed", {Party.OFFICE: frozenset({BookingState.REQUESTED})}, BookingState.CONFIRMED
    ),
    Transition.ASSIGN: TransitionRule("assigned", {Party.OFFICE: OPEN_STATES}, BookingState.ASSIGNED),
    Transition.START: TransitionRule(
        "started",
        {Party.CLEANER: frozenset({BookingState.ASSIGNED}), Party.OFFICE: frozenset({BookingState.ASSIGNED})},
        BookingState.IN_PROGRESS,
    ),
    Transition.COMPLETE: TransitionRule(
        "completed",
        {Party.CLEANER: frozenset({BookingState.IN_PROGRESS}), Party.OFFICE: frozenset({BookingState.IN_PROGRESS})},
        BookingState.COMPLETED,
    ),
    Transition.MARK_NO_SHOW: TransitionRule(
        "no_show",
        {
            Party.CLEANER: frozenset({BookingState.ASSIGNED, BookingState.IN_PROGRESS}),
            Party.OFFICE: frozenset({BookingState.ASSIGNED, BookingState.IN_PROGRESS}),
        },
        BookingState.NO_SHOW,
    ),
    Transition.CANCEL: TransitionRule(
        "cancelled", {Party.CLIENT: OPEN_STATES, Party.OFFICE: OPEN_STATES}, BookingState.CANCELLED
    ),
}


def permits(transition: Transition, role: Role) -> bool:
    """Whether the role may make this transition in any state."""
    return PARTY_BY_ROLE[role] in RULES[transition].sources


def require_allowed(transition: Transition, actor: Actor, state: str) -> None:
    """Check that the actor may make the transition from this state; `permits` must be true for the actor's role.

    Raises:
        WrongState: the transition is not possible from this state.
    """
    sources = RULES[transition].sources[PARTY_BY_ROLE[actor.role]]
    if state not in sources:
        names = ", ".join(each for each in BookingState if each in sources)
        raise WrongState(f"The booking is {state}; {transition} is possible only from: {names}.")
