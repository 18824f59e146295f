"""Realistic public statuses for the tests of the status page."""

import calendar
import math
import random
import time
from typing import Any

from cleaning_service_monitor import services
from cleaning_service_monitor.history import BUCKET, DAYS, History
from cleaning_service_monitor.incidents import Incident
from cleaning_service_monitor.ladder import DAY, HOUR, Health, Track

Status = dict[str, Any]

NOW = 1795584825.0  # 25 November 2026, 05:33:45 UTC
KINDS = {"docker": "docker", "redis": "redis", "api": "api", "api_2": "api", "proxy": "proxy"} | dict.fromkeys(
    ("disk", "memory", "clock", "backup", "database"), "host"
)


def step(at: float, action: str, attempt: str, detail: str, *, succeeded: bool | None = True) -> Status:
    return {"at": at, "action": action, "attempt": attempt, "succeeded": succeeded, "detail": detail}


def incident(component: str, cause: str, began: float, ended: float | None, *steps: Status) -> Status:
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
    return {
        "id": f"{moment}-{component}",
        "component": component,
        "cause": cause,
        "began": began,
        "ended": ended,
        "person_needed": False,
        "steps": list(steps),
    }


def healthy() -> Status:
    """A quarter of a year with six incidents, all over; the monitor was installed 80 days ago."""
    incidents = [
        incident(
            "api",
            "GET /health/ready: no answer within 3 s",
            NOW - 8000,
            NOW - 7986.9,
            step(NOW - 7994, "restart", "1 of 5", "the container was restarted"),
        ),
        incident(
            "redis",
            "the container has ended with 137; it was killed for want of memory",
            NOW - 3.2 * DAY,
            NOW - 3.2 * DAY + 4.4,
            step(NOW - 3.2 * DAY + 1, "restart", "by Docker", "Docker restarts it"),
        ),
        incident(
            "disk",
            "4.6 % of the space of /opt/cleaning_service is free",
            NOW - 11 * DAY,
            NOW - 11 * DAY + 65,
            step(NOW - 11 * DAY + 6, "clean-up", "1 of 1", "3.1 GB were freed"),
        ),
        incident(
            "docker",
            "docker does not answer within 10 s",
            NOW - 31 * DAY,
            NOW - 31 * DAY + 4000,
            step(NOW - 31 * DAY + 12, "restart-docker", "1 of 2", "exit code 1", succeeded=False),
            step(NOW - 31 * DAY + 40, "restart-docker", "2 of 2", "Docker was restarted"),
        ),
        incident("api_2", "GET /health/ready: refused with 503", NOW - 45 * DAY, NOW - 45 * DAY + 140),
        incident(
            "backup",
            "there has been no remote backup since 2026-09-22 21:17 UTC",
            NOW - 62 * DAY,
            NOW - 62 * DAY + 20000,
        ),
    ]
    return _status("ok", incidents, watched=80)


def quarter() -> Status:
    """90 watched days, with outages that clients noticed."""
    refused = "GET /health/ready: connection refused"
    canary = "the registration canary: no answer within 12 s"
    incidents = [
        incident("api", canary, NOW - 6 * DAY, NOW - 6 * DAY + 600),
        incident("api_2", canary, NOW - 6 * DAY + 20, NOW - 6 * DAY + 580),
        incident("proxy", "GET /metrics: connection refused", NOW - 20 * DAY, NOW - 20 * DAY + 25 * 60),
        incident("api", refused, NOW - 38.4 * DAY, NOW - 38.4 * DAY + 3 * HOUR),
        incident("api_2", refused, NOW - 38.4 * DAY + 600, NOW - 38.4 * DAY + 2.5 * HOUR),
    ]
    everything = [*healthy()["incidents"], *incidents]
    return _status("ok", sorted(everything, key=lambda entry: -entry["began"]), watched=90)


def outage() -> Status:
    """Both replicas are away, the ladder is being climbed, and a person has been called."""
    status = healthy()
    steps = [
        step(NOW - 300 + 20 * number, "restart", f"{number + 1} of 5", "the container was restarted")
        for number in range(3)
    ]
    first = incident(
        "api",
        "the container has ended with 1: sqlite3.OperationalError: disk I/O error",
        NOW - 310,
        None,
        *steps,
        step(NOW - 200, "full-restart", "4 of 5", "docker compose up: exit code 1", succeeded=False),
        step(NOW - 20, "restart-docker", "5 of 5", "", succeeded=None),
    )
    first["person_needed"] = True
    second = incident(
        "api_2",
        "GET /health/ready: connection refused",
        NOW - 290,
        None,
        step(NOW - 280, "restart", "1 of 5", "the container was restarted"),
    )
    status["incidents"] = [second, first, *status["incidents"]]
    status["state"] = "outage"
    healths = {"api": "down", "api_2": "sick", "proxy": "ok", "disk": "degraded"}
    for component in status["components"]:
        component["health"] = healths.get(component["name"], "ok")
        if component["health"] != "ok":
            component["since"] = NOW - 300
        component["person_needed"] = component["name"] == "api"
        if component["name"] in ("api", "api_2"):
            status["days"][component["name"]][-1]["down"] += 310.0
    return with_services(status)


def maintenance() -> Status:
    """A release is rolled out."""
    status = healthy()
    status["state"] = "maintenance"
    status["paused"] = {"until": NOW + 780, "reason": "rollout by the playbook"}
    status["components"][2]["health"] = "starting"
    status["components"][2]["since"] = NOW - 6
    return with_services(status)


def first_day() -> Status:
    """The monitor has just been installed."""
    status = _status("ok", [], watched=1)
    status["response"], status["registration"] = status["response"][-3:], []
    status["components"][-1]["since"] = None
    status["backups"] = [
        {**backup("local", None, health="unknown"), "drill": None},
        {**backup("remote", NOW - 30), "drill": None},
        {**backup("replica", None, health="unknown"), "drill": None},
    ]
    return status


def backup(name: str, at: float | None, *, health: str = "ok", behind: float | None = None) -> Status:
    """One source of the backups, proven three days ago."""
    drill = {"at": NOW - 3.1 * DAY, "succeeded": True, "bookings": 1234, "seconds": 31.0}
    return {"name": name, "at": at, "behind": behind, "health": health, "drill": drill}


def broken_backups() -> Status:
    """A drill has failed, the copies elsewhere are old, and the replica is behind; a new repository has nothing yet."""
    status = healthy()
    cause = "there has been no remote backup since 2026-11-24 20:17 UTC; the drill of the local backup failed"
    status["incidents"] = [incident("backup", cause, NOW - 7200, None), *status["incidents"]]
    status["state"] = "degraded"
    for component in status["components"]:
        if component["name"] == "backup":
            component["health"], component["since"] = "degraded", NOW - 7260
    status["backups"] = [
        backup("local", NOW - 960, health="degraded"),
        backup("remote", NOW - 33_385, health="degraded"),
        backup("replica", None, health="degraded", behind=75.0),
    ]
    status["backups"][0]["drill"]["succeeded"] = False
    status["backups"][1]["drill"] = None
    return with_services(status)


def worst_case(text: str) -> Status:
    """As much as a status can hold, all of it made of one text."""
    incidents = []
    for number in range(50):
        steps = [step(NOW - number, text, text, text, succeeded=False) for _ in range(50)]
        incidents.append(incident(text, text, NOW - 9000 - number, None if number % 2 else NOW, *steps))
        incidents[-1]["person_needed"] = True
    status = _status("degraded", incidents, watched=90)
    status["service"] = text
    status["paused"] = {"until": NOW, "reason": text}
    for component in status["components"]:
        component["person_needed"] = True
        component["health"] = "sick"
        for day in status["days"][component["name"]]:
            day["down"] = 1234.5
    status["backups"] = [backup(text, NOW, health=text, behind=NOW), backup("replica", None)] * 3
    with_services(status)
    for service in status["services"]:
        service["name"] = text
    status["components"].append(dict(status["components"][0], name=text, health=text))
    return status


def with_services(status: Status) -> Status:
    """Put what the monitor derives from components and incidents into a status."""
    history = History()
    for day in status["days"]["proxy"]:
        if day["down"] is not None:
            history.mark_watched(calendar.timegm(time.strptime(day["day"], "%Y-%m-%d")))
    incidents = [
        Incident(entry["id"], entry["component"], entry["cause"], entry["began"], entry["ended"])
        for entry in status["incidents"]
    ]
    causes = {entry.component: entry.cause for entry in incidents if entry.ended is None}
    kinds = {component["name"]: component["kind"] for component in status["components"]}
    tracks = {
        component["name"]: Track(
            Health(component["health"]), causes.get(component["name"], ""), since=component["since"]
        )
        for component in status["components"]
    }
    days = history.days(NOW, services.outages(incidents, kinds, NOW), services.names(kinds))
    status["services"] = [{**service, "days": days[service["name"]]} for service in services.current(tracks, kinds)]
    return status


def _status(state: str, incidents: list[Status], watched: int) -> Status:
    since = {name: NOW - min(watched - 0.8, 9) * DAY for name in KINDS}
    for entry in incidents:
        if entry["component"] in since and entry["ended"] is not None:
            since[entry["component"]] = max(since[entry["component"]], entry["ended"])
    status = {
        "version": 1,
        "updated": NOW,
        "check_interval": 60,
        "service": "Cleaning service",
        "state": state,
        "paused": None,
        "components": [
            {"name": name, "kind": kind, "health": "ok", "since": since[name], "person_needed": False}
            for name, kind in KINDS.items()
        ],
        "backups": [
            backup("local", NOW - 960),
            backup("remote", NOW - 900),
            backup("replica", None, behind=0.0),
        ],
        "incidents": incidents,
        "days": {name: _days(name, incidents, watched) for name in KINDS},
        "response": _buckets(4.2, 9.0, seed=1),
        "registration": _buckets(38.0, 74.0, seed=2),
    }
    return with_services(status)


def _days(name: str, incidents: list[Status], watched: int) -> list[Status]:
    today = int(NOW // DAY)
    days = []
    for number in range(today - DAYS + 1, today + 1):
        down: float | None = None
        if number > today - watched:
            down = sum(
                entry["ended"] - entry["began"]
                for entry in incidents
                if entry["component"] == name and entry["ended"] is not None and int(entry["began"] // DAY) == number
            )
        days.append({"day": time.strftime("%Y-%m-%d", time.gmtime(number * DAY)), "down": down})
    return days


def _buckets(middle: float, worst: float, seed: int) -> list[list[float]]:
    """A day with a busy afternoon, one peak and a gap of a reboot."""
    chance = random.Random(seed)  # noqa: S311  # the same drawing each time
    first = int((NOW - DAY) // BUCKET + 1) * BUCKET
    buckets = []
    for number in range(288):
        if 200 <= number < 206:
            continue
        busy = 1 + 0.6 * math.exp(-(((number - 120) / 45) ** 2))
        low = middle * busy * chance.uniform(0.92, 1.1)
        high = max(low, worst * busy * chance.uniform(0.7, 1.5) * (14 if number == 261 else 1))
        buckets.append([first + number * BUCKET, round(low, 1), round(high, 1)])
    return buckets
