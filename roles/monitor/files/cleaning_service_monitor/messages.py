"""The texts of alerts: one message for each turn of an incident, in plain English."""

import re
import time
from typing import Any

Message = dict[str, Any]

PROBLEM, PERSON_NEEDED, REMINDER, RESOLVED, TEST = "problem", "person-needed", "reminder", "resolved", "test"
KINDS = (PROBLEM, PERSON_NEEDED, REMINDER, RESOLVED, TEST)

_MAX_EVIDENCE = 10  # lines
_MAX_LINE = 200  # characters of one line of evidence
_MAX_STEPS = 20
_MAX_CAUSE = 300  # characters
_MAX_SUBJECT = 160  # characters
_END_OF_TIME = 253402300800.0  # the year 10000
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours of a terminal, in a container's log
_TIME_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

_STATES = {
    PROBLEM: "is not well.",
    PERSON_NEEDED: "is not well, and nothing that the monitor may do by itself has helped.",
    REMINDER: "is still not well.",
}
_HINTS = {
    "docker": "systemctl status docker.service; journalctl -u docker.service -n 50",
    "ingress": "iptables -S FORWARD; nft list ruleset; systemctl restart docker.service puts Docker's rules back",
    "disk": "df -h; docker system df; du -xh / | sort -h | tail",
    "memory": "free -m; docker stats --no-stream; dmesg | grep -i oom",
    "clock": "timedatectl; systemctl status systemd-timesyncd.service",
    "certificate": "docker logs --tail 50 of the proxy's container; does the domain still point to this host?",
    "backup": "cleaning-service-backup status",
    "release": "cleaning-service-release list; mend the release or go back with playbooks/rollback.yml",
    "database": "restore the last good backup, unless the check of the database is well when run again",
}


def compose(kind: str, incident: dict[str, Any], host: str, now: float) -> Message:
    """Make the message for one turn of an incident.

    Args:
        kind: one of `KINDS`.
        incident: as `dataclasses.asdict` gives it; empty for a test.
        host: the name to show.
        now: seconds since the epoch.
    """
    data = _tidy(incident)
    identifier = f"{data['id']}.{kind}"
    if kind == TEST:
        identifier = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}.{kind}"
    elif kind == REMINDER:
        identifier += f".{int(now)}"  # there may be many of one incident
    severity = "critical" if kind == PERSON_NEEDED or data["person_needed"] else "warning"
    return {
        "id": identifier,
        "kind": kind,
        "incident": data["id"],
        "component": data["component"],
        "severity": "info" if kind in (RESOLVED, TEST) else severity,
        "at": now,
        "subject": _cut(f"[{_clean(host)}] {_subject(kind, data, now)}", _MAX_SUBJECT),
        "text": "\n".join([f"Host: {_clean(host)}", *_text(kind, data, now), ""]),
        "incident_data": data,
    }


def duration(seconds: float) -> str:
    """Return a time span in its two largest units, such as `2 h 5 min`."""
    left = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for size, name in _TIME_UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count) or "less than 1 s"


def _subject(kind: str, data: dict[str, Any], now: float) -> str:
    if kind == TEST:
        return "test: alerts arrive here"
    person = "a person is needed: " if kind == PERSON_NEEDED or data["person_needed"] else ""
    turn = {
        PROBLEM: f"problem: {data['cause']}",
        PERSON_NEEDED: f"{person}{data['cause']}",
        REMINDER: f"still not well{_lasted(data, now)}: {person}{data['cause']}",
        RESOLVED: f"well again{_lasted(data, now)}",
    }
    return f"{data['component']}: {turn[kind]}"


def _text(kind: str, data: dict[str, Any], now: float) -> list[str]:
    if kind == TEST:
        sent = f"Sent: {_moment(now)}"
        return [
            "What: this is a test. Nothing is wrong.",
            sent,
            "What happens next: alerts of this host arrive the same way.",
        ]
    if kind == RESOLVED:
        return _resolved(data, now)
    wanted = kind == PERSON_NEEDED or (kind == REMINDER and data["person_needed"])
    proceed = "the monitor tries again from time to time. Please look at it."
    if not wanted:
        until = "it is over, or when a person is needed." if kind == PROBLEM else "it is over."
        proceed = f"the monitor goes on by itself. You will hear when {until}"
    hint = _HINTS.get(data["component"])
    look = ["Where to look: cleaning-service-monitor status", *([f"  then: {hint}"] if hint else [])]
    return [
        f"What: {data['component']} {_STATES[kind]}",
        f"Since: {_moment(data['began'])}{_lasted(data, now, ' (', ' ago)')}",
        f"Cause: {data['cause']}",
        *(_steps(data) or ["What was done: nothing yet."]),
        f"What happens next: {proceed}",
        *(look if wanted else []),
        *(["Last lines of the log:", *(f"  {line}" for line in data["evidence"])] if data["evidence"] else []),
    ]


def _resolved(data: dict[str, Any], now: float) -> list[str]:
    cured = next((step for step in reversed(data["steps"]) if step["succeeded"]), None)
    cure = (
        f"{cured['action']}: {cured['detail']}"
        if cured
        else "no step of the monitor: it ended by itself, or somebody cured it"
    )
    return [
        f"What: {data['component']} is well again.",
        f"From: {_moment(data['began'])}",
        f"To: {_moment(data['ended'] if data['ended'] is not None else now)}{_lasted(data, now, ' (', ')')}",
        f"Cause: {data['cause']}",
        f"What cured it: {cure.rstrip(': ')}.",
        *_steps(data),
        "What happens next: nothing is left to do.",
    ]


def _steps(data: dict[str, Any]) -> list[str]:
    lines = ["What was done:"] if data["steps"] else []
    for step in data["steps"]:
        attempt = f" ({step['attempt']})" if step["attempt"] else ""
        detail = f": {step['detail']}" if step["detail"] else ""
        outcome = {None: "at work", True: "done", False: "failed"}.get(step["succeeded"], "not known")
        lines.append(f"  {_moment(step['at'])[11:]}  {step['action']}{attempt}: {outcome}{detail}")
    return lines


def _lasted(data: dict[str, Any], now: float, before: str = " after ", behind: str = "") -> str:
    """Return how long the incident has lasted, between two texts; empty where that is not known."""
    if data["began"] is None:
        return ""
    return f"{before}{duration((data['ended'] if data['ended'] is not None else now) - data['began'])}{behind}"


def _moment(value: float | None) -> str:
    return "not known" if value is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))


def _tidy(incident: dict[str, Any]) -> dict[str, Any]:
    """Copy an incident, bounded in size and with text that every channel can carry."""
    lines = [_cut(_clean(line), _MAX_LINE) for line in incident.get("evidence") or []]
    return {
        "id": _clean(incident.get("id", "")),
        "component": _clean(incident.get("component") or "monitor"),
        "cause": _cut(_clean(incident.get("cause") or "not known"), _MAX_CAUSE),
        "began": _number(incident.get("began")),
        "ended": _number(incident.get("ended")),
        "person_needed": bool(incident.get("person_needed")),
        "steps": [_tidy_step(step) for step in list(incident.get("steps") or [])[-_MAX_STEPS:]],
        "evidence": [line for line in lines if line.strip()][-_MAX_EVIDENCE:],
    }


def _tidy_step(step: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": _number(step.get("at")),
        "action": _clean(step.get("action", "")),
        "attempt": _clean(step.get("attempt") or ""),
        "succeeded": step.get("succeeded"),
        "detail": _cut(_clean(step.get("detail") or ""), _MAX_CAUSE),
    }


def _number(value: object) -> float | None:
    """Return a moment that a calendar has, else None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _END_OF_TIME
    return value if usable else None  # type: ignore[return-value]  # it is a number


def _clean(value: object) -> str:
    """Make one line of printable text; halves of characters and colours of a terminal have no place in a message."""
    text = _ESCAPE_SEQUENCE.sub("", str(value)).replace("\t", " ").replace("\n", " ").replace("\r", "")
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
