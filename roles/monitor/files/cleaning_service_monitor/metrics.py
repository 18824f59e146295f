"""What Prometheus may collect of the monitor, in its text format, for node_exporter's directory of text files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cleaning_service_monitor.ladder import Health

_PREFIX = "cleaning_service_monitor"
_BACKUP_PREFIX = "cleaning_service_backup"
_LABEL_PARTS = {"incidents": 2, "cures": 4}  # words of a counter's key
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_BARE_RETURN = re.compile(r"\r")  # readers may take it for the end of the line


def render(status: Mapping[str, Any], counters: Mapping[str, float]) -> str:
    """Return the metrics.

    Args:
        status: the public status.
        counters: by "incidents <component>" and "cures <component> <action> <done|failed>"; others are left out.
    """
    components = status["components"]
    healths = [
        ({"component": component["name"], "health": health.value}, float(component["health"] == health.value))
        for component in components
        for health in Health
    ]
    persons = [({"component": component["name"]}, float(component["person_needed"])) for component in components]
    open_ones = {component["name"]: 0 for component in components}
    for incident in status["incidents"]:
        if incident["ended"] is None:
            open_ones[incident["component"]] = open_ones.get(incident["component"], 0) + 1
    keys = [(key.split(" "), value) for key, value in sorted(counters.items())]
    known = [(words, value) for words, value in keys if len(words) == _LABEL_PARTS.get(words[0])]
    incidents = [({"component": words[1]}, value) for words, value in known if words[0] == "incidents"]
    cures = [
        ({"component": words[1], "action": words[2], "outcome": words[3]}, value)
        for words, value in known
        if words[0] == "cures"
    ]
    families = (
        _family("component_health", "gauge", "1 for the health that the component has now, else 0.", healths),
        _family("person_needed", "gauge", "1 while a person is needed for the component.", persons),
        _family(
            "incidents_open",
            "gauge",
            "Incidents that are not over.",
            [({"component": name}, number) for name, number in open_ones.items()],
        ),
        _family("paused", "gauge", "1 while the monitor is paused.", [({}, float(status["paused"] is not None))]),
        _family(
            "last_look_timestamp_seconds",
            "gauge",
            "When the monitor last looked, in seconds since the epoch.",
            [({}, status["updated"])],
        ),
        _family("incidents_total", "counter", "Incidents that have begun.", incidents),
        _family("cures_total", "counter", "Cures that have ended, by their outcome.", cures),
        *_backups(status["backups"], status["updated"]),
    )
    return "".join(families)


def _backups(sources: Sequence[Mapping[str, Any]] | None, now: float) -> Iterator[str]:
    """Tell of each backup what is known; a source of which something is not known has no such sample."""
    if sources is None:
        return
    drills = [({"source": source["name"]}, source["drill"]) for source in sources if source["drill"]]
    ages = [({"source": source["name"]}, now - source["at"]) for source in sources if source["at"] is not None]
    behind: list[tuple[dict[str, str], float]] = [
        ({}, source["behind"]) for source in sources if source["behind"] is not None
    ]
    families = (
        ("age_seconds", "Age of the newest backup.", ages),
        ("drill_age_seconds", "Age of the last drill.", [(labels, now - drill["at"]) for labels, drill in drills]),
        (
            "drill_ok",
            "1 where the last drill restored the data, else 0.",
            [(labels, float(drill["succeeded"])) for labels, drill in drills],
        ),
        ("replica_behind_seconds", "How far the replica is behind the database.", behind),
    )
    for name, about, samples in families:
        yield _family(name, "gauge", about, samples, prefix=_BACKUP_PREFIX)


def _family(
    name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]], prefix: str = _PREFIX
) -> str:
    full = f"{prefix}_{name}"
    lines = [f"# HELP {full} {about}", f"# TYPE {full} {kind}"]
    lines += [f"{full}{_labels(labels)} {value!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + inside + "}"


def _escaped(value: str) -> str:
    return _BARE_RETURN.sub(" ", str(value)).translate(_ESCAPES)
