"""What clients use: how its health and its outages follow from the components."""

import json
from pathlib import Path

import pytest
from cleaning_service_monitor import config, services
from cleaning_service_monitor.eventlog import EventLog
from cleaning_service_monitor.hostchecks import UNTRUSTED_CERTIFICATE
from cleaning_service_monitor.incidents import Incident
from cleaning_service_monitor.ingress import NO_ENTRY, NO_ENTRY_BY_IPV6
from cleaning_service_monitor.ladder import Health, Track
from cleaning_service_monitor.probes import CANARY, CANARY_TOKEN_REFUSED, REFUSED_WRITES
from cleaning_service_monitor.reporter import Reporter

from tests.monitor.helpers import component, write_config

KINDS = {"docker": "docker", "redis": "redis", "api": "api", "api_2": "api", "proxy": "proxy"}
NOW = 1000.0

_READY = "GET /health/ready: no answer within 3 s"
_CANARY = f"{CANARY}: no answer within 12 s"
_TOKEN = f"{CANARY_TOKEN_REFUSED} with 403: is canary_token the API's CANARY_TOKEN?"
_FULL = ", while the disk is full"
_BOTH = ("api", "api_2")


def _healths(tracks: dict[str, Track]) -> list[str]:
    everything = {name: Track(since=1.0) for name in KINDS} | tracks
    return [service["health"] for service in services.current(everything, KINDS)]


def _all(health: Health, cause: str) -> dict[str, Track]:
    return {name: Track(health, cause, since=5.0, unwell_since=5.0) for name in _BOTH}


@pytest.mark.parametrize(
    ("tracks", "booking", "account", "website"),
    [
        ({}, "ok", "ok", "ok"),
        ({"api": Track(Health.DOWN, "ended", since=5.0)}, "ok", "ok", "ok"),
        ({"redis": Track(Health.DOWN, "ended", since=5.0)}, "ok", "ok", "ok"),
        (_all(Health.DOWN, "ended"), "outage", "outage", "ok"),
        (_all(Health.SICK, _READY), "outage", "outage", "ok"),
        (_all(Health.SICK, _CANARY), "ok", "outage", "ok"),
        (_all(Health.REFUSING, f"{CANARY} was answered with 503"), "ok", "outage", "ok"),
        (_all(Health.REFUSING, REFUSED_WRITES), "outage", "outage", "ok"),
        (_all(Health.DEGRADED, _TOKEN), "ok", "ok", "ok"),
        (_all(Health.DEGRADED, _CANARY + _FULL), "ok", "outage", "ok"),
        (_all(Health.DEGRADED, REFUSED_WRITES + _FULL), "outage", "outage", "ok"),
        (_all(Health.STARTING, "container is starting"), "starting", "starting", "ok"),
        ({"proxy": Track(Health.SICK, "GET /metrics", since=5.0)}, "outage", "outage", "outage"),
        ({"proxy": Track(Health.STARTING, "starting", since=5.0)}, "starting", "starting", "starting"),
        ({"docker": Track(Health.SICK, "silent", since=5.0)}, "unknown", "unknown", "unknown"),
        ({"proxy": Track()}, "unknown", "unknown", "unknown"),
        (
            {"certificate": Track(Health.DEGRADED, f"{UNTRUSTED_CERTIFICATE}: expired", since=5.0)},
            "ok",
            "ok",
            "degraded",
        ),
        ({"certificate": Track(Health.DEGRADED, "the certificate ends in 9.0 days", since=5.0)}, "ok", "ok", "ok"),
        ({"ingress": Track(Health.SICK, f"{NO_ENTRY}: no answer", since=5.0)}, "outage", "outage", "outage"),
        ({"ingress": Track(Health.SICK, f"{NO_ENTRY_BY_IPV6}: no answer", since=5.0)}, "ok", "ok", "degraded"),
        ({"ingress": Track(Health.DEGRADED, "it is not known whether clients get in", since=5.0)}, "ok", "ok", "ok"),
    ],
)
def test_health_follows_from_the_components(tracks: dict[str, Track], booking: str, account: str, website: str) -> None:
    assert _healths(tracks) == [booking, account, website]


def test_outage_lasts_since_the_last_replica_fell() -> None:
    tracks = {name: Track(since=1.0) for name in KINDS}
    tracks["api"] = Track(Health.SICK, _READY, since=30.0, unwell_since=20.0)
    tracks["api_2"] = Track(Health.DOWN, "ended", since=50.0, unwell_since=40.0)
    assert services.current(tracks, KINDS)[0] == {"name": "booking", "health": "outage", "since": 40.0}


def test_services_are_those_that_the_components_make_up() -> None:
    assert services.names(KINDS) == ["booking", "account", "website"]
    assert services.names({"proxy": "proxy"}) == ["website"]
    assert services.names({"redis": "redis"}) == []
    incidents = [Incident("1", "redis", "ended", 10, 20)]
    assert services.outages(incidents, {"redis": "redis"}, NOW) == []


def _outages(*incidents: tuple[str, str, float, float | None]) -> dict[str, list[tuple[float, float]]]:
    found = services.outages([Incident("1", *incident) for incident in incidents], KINDS, NOW)
    return {name: [(one.began, one.ended) for one in found if one.component == name] for name in services.names(KINDS)}


def test_one_replica_or_redis_or_docker_alone_is_no_outage() -> None:
    assert _outages(
        ("api", _READY, 10, 20), ("api_2", _READY, 20, 30), ("redis", "ended", 10, 20), ("docker", "silent", 10, 20)
    ) == {"booking": [], "account": [], "website": []}


def test_outages_are_when_every_replica_or_the_proxy_is_away() -> None:
    assert _outages(
        ("api", _READY, 10, 50), ("api_2", _READY, 20, 30), ("api_2", _READY, 40, None), ("proxy", "refused", 45, 60)
    ) == {"booking": [(20, 30), (40, 60)], "account": [(20, 30), (40, 60)], "website": [(45, 60)]}


def test_outages_are_when_nobody_gets_in_from_outside() -> None:
    found = _outages(
        ("ingress", f"{NO_ENTRY}: no answer", 10, 20),
        ("ingress", f"{NO_ENTRY_BY_IPV6}: no answer", 30, 40),
        ("ingress", "it is not known whether clients get in", 50, 60),
    )
    assert found == {"booking": [(10, 20)], "account": [(10, 20)], "website": [(10, 20)]}


def test_open_outage_lasts_until_now() -> None:
    assert _outages(("api", _READY, 10, None), ("api_2", _READY, 20, None))["booking"] == [(20, NOW)]


def test_canary_harms_signing_in_only_and_a_wrong_token_nothing() -> None:
    assert _outages(("api", _CANARY, 10, 20), ("api_2", _CANARY, 10, 20)) == {
        "booking": [],
        "account": [(10, 20)],
        "website": [],
    }
    assert _outages(("api", _TOKEN, 10, 20), ("api_2", _TOKEN, 10, 20))["account"] == []


def test_services_are_published_with_their_days(tmp_path: Path) -> None:
    components = [component("api", "api", "one", 8001), component("api_2", "api", "two", 8002)]
    path = write_config(tmp_path, [*components, component("proxy", "proxy", "three", 8003)])
    reporter = Reporter(config.load(str(path)), EventLog(tmp_path / "monitor.log"), lambda _: [])
    now = 1_795_584_825.0
    tracks = {name: Track(since=now - 50) for name in ("docker", "proxy", "disk")}
    for name in _BOTH:
        tracks[name] = Track(Health.SICK, _CANARY, since=now - 20, unwell_since=now - 20)
        reporter.found(name, _CANARY, now - 20, now)
    reporter.publish(now, tracks, None)
    reporter.close()
    published = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "status").iterdir()}
    assert published == dict.fromkeys(("status.json", "index.html", "index.ru.html", "metrics.prom"), 0o644)
    status = json.loads((tmp_path / "status/status.json").read_text())
    told = {service["name"]: (service["health"], service["days"][-1]["down"]) for service in status["services"]}
    assert told["booking"] == ("ok", 0.0)
    assert told["website"] == ("ok", 0.0)
    assert told["account"][0] == "outage"
    assert 0 < (told["account"][1] or 0) <= 20.0
    assert [len(service["days"]) for service in status["services"]] == [90] * 3
    page = (tmp_path / "status/index.html").read_text()
    assert "<h1>Not available right now: Signing in and registering.</h1>" in page
