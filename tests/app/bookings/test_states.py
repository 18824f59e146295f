"""The state table."""

import pytest

from app.bookings.models import BookingState
from app.bookings.problems import WrongState
from app.bookings.states import OPEN_STATES, PARTY_BY_ROLE, RULES, Party, Transition, permits, require_allowed
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


def test_started_visit_cannot_be_cancelled() -> None:
    for sources in RULES[Transition.CANCEL].sources.values():
        assert sources == OPEN_STATES
        assert BookingState.IN_PROGRESS not in sources


@pytest.mark.parametrize(
    ("who", "transitions"),
    [
        (Party.CLIENT, {Transition.CHANGE, Transition.RESCHEDULE, Transition.CANCEL}),
        (Party.CLEANER, {Transition.START, Transition.COMPLETE, Transition.MARK_NO_SHOW}),
        (Party.OFFICE, set(Transition)),
    ],
)
def test_transitions_of_each_party(who: Party, transitions: set[Transition]) -> None:
    assert {each for each in Transition if who in RULES[each].sources} == transitions
    for role in Role:
        if PARTY_BY_ROLE[role] is who:
            assert {each for each in Transition if permits(each, role)} == transitions


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("transition", list(Transition))
@pytest.mark.parametrize("state", list(BookingState))
def test_require_allowed_follows_the_table(role: Role, transition: Transition, state: BookingState) -> None:
    if not permits(transition, role):
        return
    actor = Actor("somebody", role, "session")
    if state in RULES[transition].sources[PARTY_BY_ROLE[role]]:
        require_allowed(transition, actor, state)
    else:
        with pytest.raises(WrongState, match=state):
            require_allowed(transition, actor, state)


def test_wrong_state_names_the_possible_states() -> None:
    with pytest.raises(WrongState) as raised:
        require_allowed(Transition.MARK_NO_SHOW, Actor("somebody", Role.CLEANER, "session"), BookingState.COMPLETED)
    assert raised.value.detail == "The booking is completed; no-show is possible only from: assigned, in_progress."
