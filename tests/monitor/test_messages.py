"""What a person reads."""

import json
from typing import Any

import pytest
from cleaning_service_monitor.messages import KINDS, compose, duration
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor.alerts.receivers import INCIDENT

NOW = 1764047893.0


def test_a_problem() -> None:
    message = compose("problem", INCIDENT, "shop", NOW)
    assert message == {
        "id": "20261125T051800Z-api.problem",
        "kind": "problem",
        "incident": "20261125T051800Z-api",
        "component": "api",
        "severity": "warning",
        "at": NOW,
        "subject": "[shop] api: problem: GET /health/ready: no answer within 3 s",
        "text": (
            "Host: shop\n"
            "What: api is not well.\n"
            "Since: 2025-11-25 05:18:00 UTC (13 s ago)\n"
            "Cause: GET /health/ready: no answer within 3 s\n"
            "What was done:\n"
            "  05:18:04 UTC  restart (1 of 5): done: the container was restarted\n"
            "What happens next: the monitor goes on by itself. You will hear when it is over, or when a person is "
            "needed.\n"
            "Last lines of the log:\n"
            "  INFO started\n"
            "  ERROR database is locked\n"
        ),
        "incident_data": INCIDENT,
    }


def test_the_other_kinds() -> None:
    person = compose("person-needed", {**INCIDENT, "person_needed": True}, "shop", NOW)
    assert person["severity"] == "critical"
    assert person["subject"].startswith("[shop] api: a person is needed: GET")
    assert "Where to look: cleaning-service-monitor status\n" in person["text"]
    reminder = compose("reminder", INCIDENT, "shop", NOW + 3600)
    assert reminder["id"] == f"20261125T051800Z-api.reminder.{int(NOW) + 3600}"
    assert reminder["subject"].startswith("[shop] api: still not well after 1 h: GET")
    assert compose("reminder", {**INCIDENT, "person_needed": True}, "shop", NOW)["severity"] == "critical"
    resolved = compose("resolved", {**INCIDENT, "ended": NOW}, "shop", NOW + 60)
    assert (resolved["severity"], resolved["subject"]) == ("info", "[shop] api: well again after 13 s")
    assert "To: 2025-11-25 05:18:13 UTC (13 s)\n" in resolved["text"]
    assert "What cured it: restart: the container was restarted.\n" in resolved["text"]
    test = compose("test", {}, "shop", NOW)
    assert (test["id"], test["incident"], test["component"]) == ("20251125T051813Z.test", "", "monitor")
    assert "Nothing is wrong" in test["text"]


def test_what_no_step_has_cured() -> None:
    for steps in ([], [{**INCIDENT["steps"][0], "succeeded": False}]):
        text = compose("resolved", {**INCIDENT, "ended": NOW, "steps": steps}, "shop", NOW)["text"]
        assert "What cured it: no step of the monitor" in text


def test_the_hint_for_a_part_of_the_host() -> None:
    disk = {**INCIDENT, "component": "disk", "person_needed": True}
    assert "then: df -h" in compose("person-needed", disk, "shop", NOW)["text"]
    assert "then: df -h" in compose("reminder", disk, "shop", NOW)["text"]


def test_evidence_is_bounded_and_readable() -> None:
    lines = [f"line {number}" for number in range(20)] + ["\x1b[31mred\x1b[0m \ud800\x00", "x" * 500, "", "\t"]
    text = compose("problem", {**INCIDENT, "evidence": lines}, "shop", NOW)["text"]
    shown = text.partition("Last lines of the log:\n")[2].splitlines()
    assert len(shown) == 10
    assert shown[-2:] == ["  red ??", f"  {'x' * 197}..."]


def test_many_steps_and_long_causes_are_cut() -> None:
    steps = INCIDENT["steps"] * 100
    message = compose("problem", {**INCIDENT, "steps": steps, "cause": "c" * 5000}, "shop", NOW)
    assert len(message["subject"]) == 160
    assert len(message["text"]) < 4000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "less than 1 s"),
        (0.4, "less than 1 s"),
        (13.1, "13 s"),
        (60, "1 min"),
        (3661, "1 h 1 min"),
        (3605, "1 h"),
        (90000, "1 d 1 h"),
        (200000, "2 d 7 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


anything = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text())
steps = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("at", "action", "attempt", "succeeded", "detail"), anything)),
    max_size=30,
)


@given(
    kind=st.sampled_from(KINDS),
    incident=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("id", "component", "cause", "began", "ended", "person_needed"), anything),
            "steps": steps,
            "evidence": st.lists(st.text(), max_size=30),
        },
    ),
    host=st.text(),
)
def test_any_incident_can_be_told(kind: str, incident: dict[str, Any], host: str) -> None:
    message = compose(kind, incident, host, NOW)
    assert "\n" not in message["subject"]
    assert len(message["subject"]) <= 160
    message["text"].encode()
    json.dumps(message)
