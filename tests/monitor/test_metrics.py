"""The metrics, read by the parser of Prometheus's own client."""

import pytest
from cleaning_service_monitor.metrics import render
from prometheus_client.parser import text_string_to_metric_families

from tests.monitor import statuses
from tests.monitor.statuses import NOW

_PREFIX = "cleaning_service_monitor_"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _samples(text: str) -> Samples:
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name.removeprefix(_PREFIX), frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def _of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_an_outage_in_numbers() -> None:
    counters = {"incidents api": 3.0, "cures api restart done": 2.0, "cures api restart failed": 1.0}
    samples = _samples(render(statuses.outage(), counters))
    assert _of(samples, "component_health", component="api", health="down") == 1
    assert _of(samples, "component_health", component="api", health="ok") == 0
    assert sum(value for (name, _), value in samples.items() if name == "component_health") == len(statuses.KINDS)
    assert _of(samples, "person_needed", component="api") == 1
    assert _of(samples, "person_needed", component="redis") == 0
    assert _of(samples, "incidents_open", component="api") == 1
    assert _of(samples, "incidents_open", component="disk") == 0
    assert _of(samples, "last_look_timestamp_seconds") == NOW
    assert _of(samples, "paused") == 0
    assert _of(samples, "incidents_total", component="api") == 3
    assert _of(samples, "cures_total", component="api", action="restart", outcome="done") == 2
    assert _of(samples, "cures_total", component="api", action="restart", outcome="failed") == 1


def test_backups_in_numbers() -> None:
    status = statuses.broken_backups()
    text = render(status, {}).replace("cleaning_service_backup_", f"{_PREFIX}backup_")
    samples = _samples(text)
    assert _of(samples, "backup_age_seconds", source="local") == 960
    assert _of(samples, "backup_age_seconds", source="remote") == 33_385
    assert _of(samples, "backup_drill_ok", source="local") == 0
    assert _of(samples, "backup_drill_ok", source="replica") == 1
    assert _of(samples, "backup_drill_age_seconds", source="local") == pytest.approx(3.1 * 86400)
    assert _of(samples, "backup_replica_behind_seconds") == 75
    told = {(name, labels) for name, labels in samples if name.startswith("backup_")}
    assert len(told) == 2 + 2 + 2 + 1, "nothing is told of what is not known"


def test_where_no_backups_are_looked_at_none_are_told() -> None:
    status = statuses.healthy()
    assert "cleaning_service_backup_age_seconds" in render(status, {})
    assert "\ncleaning_service_backup_replica_behind_seconds 0.0\n" in render(status, {})
    status["backups"] = None
    assert "cleaning_service_backup" not in render(status, {})


def test_a_pause_is_told() -> None:
    assert _of(_samples(render(statuses.maintenance(), {})), "paused") == 1


def test_labels_are_escaped() -> None:
    name = 'a"b\\c\nd'
    status = statuses.healthy()
    status["components"][0]["name"] = name
    assert _of(_samples(render(status, {})), "person_needed", component=name) == 0
    status["components"][0]["name"] = "a\rb"
    assert "\r" not in render(status, {})


def test_counters_that_nobody_knows_are_left_out() -> None:
    text = render(statuses.healthy(), {"": 1.0, "incidents": 1.0, "cures api": 2.0, "other api": 3.0})
    names = {name for name, _ in _samples(text)}
    assert "incidents_total" not in names
    assert "cures_total" not in names
