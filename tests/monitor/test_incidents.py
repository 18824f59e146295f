"""Incidents, from their beginning to their end."""

import pytest
from cleaning_service_monitor.incidents import Incidents, Step
from cleaning_service_monitor.ladder import DAY, SETTLED

NOW = 1_764_000_000.0


def test_a_component_has_one_open_incident_at_a_time() -> None:
    incidents = Incidents()
    first = incidents.open("api", "no answer", NOW, ["a line"])
    assert incidents.open("api", "another cause", NOW + 5) is first
    assert incidents.open("redis", "gone", NOW).id != first.id
    assert (first.id, first.evidence) == ("20251124T160000Z-api", ["a line"])


def test_it_is_over_once_the_component_has_stayed_well() -> None:
    incidents = Incidents()
    incident = incidents.open("api", "no answer", NOW)
    incident.person_needed = True
    assert incidents.settle(NOW + 5, {"api": None}) == []
    assert incidents.settle(NOW + 20, {"api": NOW + 20 - SETTLED / 2}) == []
    assert incidents.settle(NOW + 30, {"api": NOW + 12}) == [incident]
    assert (incident.ended, incident.person_needed) == (NOW + 12, False)
    assert incidents.current("api") is None


def test_two_incidents_of_the_same_second_have_names_of_their_own() -> None:
    incidents = Incidents()
    for _ in range(3):
        incidents.open("api", "again", NOW)
        incidents.settle(NOW + 60, {"api": NOW})
    assert len({incident.id for incident in incidents.newest(10)}) == 3


def test_an_incident_of_what_is_not_watched_any_more_is_over() -> None:
    incidents = Incidents()
    incident = incidents.open("api_2", "gone", NOW)
    assert incidents.settle(NOW + 60, {"api": NOW}) == [incident]


def test_memory_is_bounded() -> None:
    incidents = Incidents()
    kept = incidents.open("disk", "full", NOW - 100 * DAY)
    for number in range(600):
        incidents.open("api", "x" * 10_000, NOW + number, ["y" * 10_000] * 100)
        incidents.settle(NOW + number + 60, {"api": NOW + number, "disk": None})
    for number in range(100):
        incidents.step(kept, Step(NOW + number, "clean-up", "1 of 1"))
    incidents.prune(NOW + 700)
    assert len(incidents.newest(1000)) == 500 + 1  # the open one stays
    assert kept in incidents.current_ones()
    assert [step.at for step in kept.steps[:2]] == [NOW, NOW + 1]
    assert kept.steps[-1].at == NOW + 99
    assert len(kept.steps) == 50
    assert sum(map(len, incidents.newest(1)[0].evidence)) == 20 * 300
    incidents.prune(NOW + 91 * DAY)
    assert incidents.newest(1000) == [kept]


def test_what_is_saved_comes_back() -> None:
    incidents = Incidents()
    incident = incidents.open("api", "no answer", NOW, ["a line"])
    incidents.step(incident, Step(NOW + 1, "restart", "1 of 5", succeeded=True, detail="done"))
    reborn = Incidents()
    reborn.restore(incidents.dump())
    assert reborn.newest(5) == incidents.newest(5)


@pytest.mark.parametrize("saved", [3, [3], [{}], [{"id": "x", "steps": [{"at": "y"}]}], None])
def test_a_damaged_memory_is_refused_and_changes_nothing(saved: object) -> None:
    incidents = Incidents()
    incident = incidents.open("api", "no answer", NOW)
    with pytest.raises(ValueError, match="not readable"):
        incidents.restore(saved)
    assert incidents.newest(5) == [incident]
