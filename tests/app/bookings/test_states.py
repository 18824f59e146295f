"""The state table."""

import pytest

from app.bookings.models import BookingState
from app.bookings.problems import WrongState
from app.bookings.states import RULES, Party, Transition, permits, require_allowed
from app.kit.actor import Actor, Role

ENDS = {BookingState.COMPLETED, BookingState.CANCELLED, BookingState.NO_SHOW}


def test_every_transition_has_a_rule_with_a_unique_event() -> None:
    assert set(RULES) == set(Transition)
    assert len({rule.event for rule in RULES.values()}) == len(RULES)


def test_final_states_have_no_transitions() -> None:
    for transition, rule in RULES.items():
        for sources in rule.sources.values():
            if rule.target is not None or transition is Transition.RESCHEDULE:
                assert not ENDS & sources, transition


def test_every_state_is_reachable_from_requested() -> None:
    reached = {BookingState.REQUESTED}
    for _ in BookingState:
        reached |= {
            rule.target
            for rule in RULES.values()
            if rule.target and any(reached & sources for sources in rule.sources.values())
        }
    assert reached == set(BookingState)


TABLE = {
    Transition.CHANGE: (
        {
            Party.CLIENT: "requested confirmed assigned",
            Party.OFFICE: "requested confirmed assigned in_progress completed cancelled no_show",
        },
        None,
    ),
    Transition.RESCHEDULE: (
        {Party.CLIENT: "requested confirmed assigned", Party.OFFICE: "requested confirmed assigned"},
        None,
    ),
    Transition.CONFIRM: ({Party.OFFICE: "requested"}, "confirmed"),
    Transition.ASSIGN: ({Party.OFFICE: "requested confirmed assigned"}, "assigned"),
    Transition.START: ({Party.CLEANER: "assigned", Party.OFFICE: "assigned"}, "in_progress"),
    Transition.COMPLETE: ({Party.CLEANER: "in_progress", Party.OFFICE: "in_progress"}, "completed"),
    Transition.MARK_NO_SHOW: ({Party.CLEANER: "assigned in_progress", Party.OFFICE: "assigned in_progress"}, "no_show"),
    Transition.CANCEL: (
        {Party.CLIENT: "requested confirmed assigned", Party.OFFICE: "requested confirmed assigned"},
        "cancelled",
    ),
}
"""For each transition: the states from which each party may make it, and the resulting state."""
PARTIES = {Role.CLIENT: Party.CLIENT, Role.CLEANER: Party.CLEANER, Role.MANAGER: Party.OFFICE, Role.ADMIN: Party.OFFICE}


def test_targets_of_the_transitions() -> None:
    assert {transition: rule.target for transition, rule in RULES.items()} == {
        transition: target for transition, (_, target) in TABLE.items()
    }


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("transition", list(Transition))
@pytest.mark.parametrize("state", list(BookingState))
def test_require_allowed_follows_the_table(role: Role, transition: Transition, state: BookingState) -> None:
    sources, _ = TABLE[transition]
    assert permits(transition, role) == (PARTIES[role] in sources)
    if PARTIES[role] not in sources:
        return
    actor = Actor("somebody", role, "session")
    if state in sources[PARTIES[role]].split():
        require_allowed(transition, actor, state)
    else:
        with pytest.raises(WrongState, match=state):
            require_allowed(transition, actor, state)


def test_wrong_state_names_the_possible_states() -> None:
    with pytest.raises(WrongState) as raised:
        require_allowed(Transition.MARK_NO_SHOW, Actor("somebody", Role.CLEANER, "session"), BookingState.COMPLETED)
    assert raised.value.detail == "The booking is completed; no-show is possible only from: assigned, in_progress."
