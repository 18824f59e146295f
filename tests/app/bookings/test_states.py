"""The state table."""

import pytest

from app.bookings.models import BookingState
from app.bookings.problems import WrongState
from app.bookings.states import RULES, Transition, Who, permits, require
from app.kit.actor import Actor, Role

ENDS = {BookingState.COMPLETED, BookingState.CANCELLED, BookingState.NO_SHOW}


def test_every_transition_has_a_rule_and_every_rule_an_event() -> None:
    assert set(RULES) == set(Transition)
    assert len({rule.event for rule in RULES.values()}) == len(RULES)


def test_nothing_leads_out_of_an_end() -> None:
    for transition, rule in RULES.items():
        for sources in rule.sources.values():
            if rule.target is not None or transition is Transition.RESCHEDULE:
                assert not ENDS & sources, transition


def test_every_state_is_reached_from_the_first() -> None:
    reached = {BookingState.REQUESTED}
    for _ in BookingState:
        reached |= {
            rule.target
            for rule in RULES.values()
            if rule.target and any(reached & sources for sources in rule.sources.values())
        }
    assert reached == set(BookingState)


LIFE = {
    Transition.CHANGE: (
        {
            Who.CLIENT: "requested confirmed assigned",
            Who.OFFICE: "requested confirmed assigned in_progress completed cancelled no_show",
        },
        None,
    ),
    Transition.RESCHEDULE: (
        {Who.CLIENT: "requested confirmed assigned", Who.OFFICE: "requested confirmed assigned"},
        None,
    ),
    Transition.CONFIRM: ({Who.OFFICE: "requested"}, "confirmed"),
    Transition.ASSIGN: ({Who.OFFICE: "requested confirmed assigned"}, "assigned"),
    Transition.START: ({Who.CLEANER: "assigned", Who.OFFICE: "assigned"}, "in_progress"),
    Transition.COMPLETE: ({Who.CLEANER: "in_progress", Who.OFFICE: "in_progress"}, "completed"),
    Transition.MISS: ({Who.CLEANER: "assigned in_progress", Who.OFFICE: "assigned in_progress"}, "no_show"),
    Transition.CANCEL: (
        {Who.CLIENT: "requested confirmed assigned", Who.OFFICE: "requested confirmed assigned"},
        "cancelled",
    ),
}
"""Who may do what in which states, and the state afterwards, written down a second time."""
WHO = {Role.CLIENT: Who.CLIENT, Role.CLEANER: Who.CLEANER, Role.MANAGER: Who.OFFICE, Role.ADMIN: Who.OFFICE}


def test_where_it_leads() -> None:
    assert {transition: rule.target for transition, rule in RULES.items()} == {
        transition: target for transition, (_, target) in LIFE.items()
    }


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("transition", list(Transition))
@pytest.mark.parametrize("state", list(BookingState))
def test_who_may_do_what_in_which_state(role: Role, transition: Transition, state: BookingState) -> None:
    sources, _ = LIFE[transition]
    assert permits(transition, role) == (WHO[role] in sources)
    if WHO[role] not in sources:
        return
    actor = Actor("somebody", role, "session")
    if state in sources[WHO[role]].split():
        require(transition, actor, state)
    else:
        with pytest.raises(WrongState, match=state):
            require(transition, actor, state)


def test_the_problem_says_from_where_it_goes() -> None:
    with pytest.raises(WrongState) as raised:
        require(Transition.MISS, Actor("somebody", Role.CLEANER, "session"), BookingState.COMPLETED)
    assert raised.value.detail == "The booking is completed; no-show is possible only from: assigned, in_progress."
