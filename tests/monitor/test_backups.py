"""The backups' reports: each fault is found, named with the others, and told to those it concerns."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_monitor import config
from cleaning_service_monitor.alerts.delivery import Delivery
from cleaning_service_monitor.backups import Backups, has_news, published
from cleaning_service_monitor.eventlog import EventLog
from cleaning_service_monitor.ladder import Health, Track, Verdict
from cleaning_service_monitor.reporter import Reporter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.monitor.helpers import component, write_config

NOW = 1_795_584_825.0  # 25 November 2026, 05:33:45 UTC
HOUR, DAY = 3600.0, 86400.0
SEE = "; see `cleaning-service-backup status`"
WELL = Verdict("backup", Health.OK)


def repository(name: str = "local", age: float | None = 600.0, **changes: object) -> dict[str, Any]:
    """One repository as the report has it, with more than the monitor reads."""
    return {
        "name": name,
        "at": None if age is None else NOW - age,
        "failure": "",
        "failed_at": None,
        "snapshots": 37,
        "bytes": 12345678,
        "seconds": 4.2,
        "checked": None,
        "check_failure": "",
        **changes,
    }


def drill(source: str = "local", age: float = 3 * DAY, failure: str = "", **changes: object) -> dict[str, Any]:
    """The last drill of a source as the report has it."""
    figures = {"moment": None, "bookings": None} if failure else {"moment": NOW - age, "bookings": 1234}
    return {"source": source, "at": NOW - age, "failure": failure, "seconds": 31.0, **figures, **changes}


class Site:
    """A directory of the service, set up so many seconds ago, with the reports of its backups."""

    def __init__(self, directory: Path, set_up: float | None = 100 * DAY) -> None:
        self.directory = directory
        (directory / "backup").mkdir()
        self.status, self.replica = directory / "backup/status.json", directory / "backup/replica.json"
        self.backups = Backups(directory, 2 * HOUR)
        if set_up is not None:
            self.set_up(set_up)

    def set_up(self, age: float) -> None:
        """Let the playbook have written the settings."""
        (self.directory / "backup.json").write_text("{}")
        os.utime(self.directory / "backup.json", (NOW - age, NOW - age))

    def reports(self, *repositories: Mapping[str, Any], drills: object = None, replica: object = None) -> None:
        """Write the report; each repository has been proven unless a test says otherwise."""
        if drills is None:
            drills = [drill(str(entry["name"])) for entry in repositories]
        self.status.write_text(json.dumps({"repositories": repositories, "drills": drills, "replica": replica}))

    def replica_reports(self, age: float = 5, behind: float = 0, failure: str = "") -> None:
        """Write the replica's report."""
        self.replica.write_text(json.dumps({"written": NOW - age, "behind": behind, "failure": failure}))

    def look(self, after: float = 0.0) -> Verdict:
        """Look so many seconds later."""
        return self.backups.look(NOW + after, 1000.0 + after)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_all_is_well(site: Site) -> None:
    drills = [drill("local"), drill("remote"), drill("replica")]
    site.reports(repository(), repository("remote", 1.9 * HOUR), drills=drills, replica={"set": True})
    site.replica_reports(behind=0.4)
    assert site.look() == WELL
    assert [(source["name"], source["health"]) for source in site.backups.public] == [
        ("local", "ok"),
        ("remote", "ok"),
        ("replica", "ok"),
    ]
    assert site.backups.public[0] == {
        "name": "local",
        "at": NOW - 600,
        "behind": None,
        "health": "ok",
        "drill": {"at": NOW - 3 * DAY, "succeeded": True, "bookings": 1234, "seconds": 31.0},
    }
    assert site.backups.public[2]["behind"] == 0.4


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        (
            repository(age=2.1 * HOUR, failure="the disk is full"),
            "there has been no local backup since 2026-11-25 03:27 UTC: the disk is full",
        ),
        (repository(age=2.1 * HOUR), "there has been no local backup since 2026-11-25 03:27 UTC"),
        (repository(age=None, failure="no key"), "there is no local backup yet: no key"),
        (
            repository(check_failure="pack 3f is damaged"),
            "the check of the local repository failed: pack 3f is damaged",
        ),
        (
            repository(age=-3 * HOUR),
            "the newest local backup is dated ahead of the clock: 2026-11-25 08:33 UTC, see `timedatectl`",
        ),
    ],
)
def test_a_repository_with_a_fault(site: Site, entry: dict[str, Any], cause: str) -> None:
    site.reports(entry)
    assert site.look() == Verdict("backup", Health.DEGRADED, f"{cause}{SEE}")
    assert site.backups.public[0]["health"] == "degraded"
    site.reports(repository())
    assert site.look() == WELL, "it is over by itself"


@pytest.mark.parametrize(
    ("drills", "cause"),
    [
        ([drill(failure="the API was not ready")], "the drill of the local backup failed: the API was not ready"),
        ([drill(age=8.1 * DAY)], "there has been no drill of the local backup since 2026-11-17 03:09 UTC"),
        ([], "no drill of the local backup has run yet"),
        ([drill("remote")], "no drill of the local backup has run yet"),
        ([drill(age=-3 * HOUR)], "the last drill of the local backup is dated ahead of the clock"),
    ],
)
def test_a_backup_that_is_not_proven(site: Site, drills: list[dict[str, Any]], cause: str) -> None:
    site.reports(repository(), drills=drills)
    assert site.look() == Verdict("backup", Health.DEGRADED, f"{cause}{SEE}")
    site.reports(repository(), drills=[drill(age=60)])
    assert site.look() == WELL


def test_one_failed_backup_is_no_fault_while_the_one_before_is_recent(site: Site) -> None:
    site.reports(repository(failure="the network was away", failed_at=NOW))
    assert site.look() == WELL


def test_a_new_host_has_time_until_its_first_backup_and_its_first_drill(tmp_path: Path) -> None:
    site = Site(tmp_path, set_up=60)
    assert site.look() == WELL
    assert site.backups.public == []
    site.reports(repository(age=None), drills=[], replica={"set": True})
    assert site.look(HOUR).cause.startswith("the replica does not report how it is: replica.json is missing")
    site.reports(repository(age=None), drills=[])
    assert site.look(HOUR) == WELL
    assert site.backups.public[0]["health"] == "unknown"
    assert site.look(2 * HOUR).cause == f"there is no local backup yet{SEE}"
    site.reports(repository(age=-7 * DAY), drills=[])
    assert site.look(7 * DAY) == WELL
    site.reports(repository(age=-8 * DAY), drills=[])
    assert site.look(8 * DAY).cause == f"no drill of the local backup has run yet{SEE}"


def test_settings_of_the_future_give_no_time(tmp_path: Path) -> None:
    site = Site(tmp_path, set_up=-365 * DAY)
    site.reports(repository(age=None))
    assert site.look().cause == f"there is no local backup yet{SEE}"


def test_where_nothing_can_be_restored_no_drill_is_missed(site: Site) -> None:
    site.reports(repository(age=None), drills=[])
    assert site.look().cause == f"there is no local backup yet{SEE}"


def test_reports_that_never_come(tmp_path: Path) -> None:
    site = Site(tmp_path, set_up=60)
    assert site.look(2 * HOUR).cause == f"no backup has been reported yet: status.json is missing{SEE}"
    site.reports()
    assert site.look(2 * HOUR).cause == f"no backup has been reported yet{SEE}"


def test_backups_that_nobody_has_set_up_hide_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, set_up=None)
    assert site.look().cause == f"the backups are not set up: run site.yml; no backup has been reported yet{SEE}"
    site.reports(repository(age=3 * HOUR))
    assert "there has been no local backup since 2026-11-25 02:33 UTC" in site.look().cause


@pytest.mark.parametrize(
    ("report", "cause"),
    [
        ({"behind": 61}, "the replica is more than 60 s behind"),
        ({"behind": 61, "failure": "timeout"}, "the replica is more than 60 s behind: timeout"),
        ({"age": 61}, "the replica does not report how it is: its last word is of 2026-11-25 05:32 UTC"),
        ({"age": -61}, "the replica does not report how it is: its last word is of 2026-11-25 05:34 UTC"),
    ],
)
def test_a_replica_with_a_fault(site: Site, report: dict[str, Any], cause: str) -> None:
    site.reports(repository(), drills=[drill(), drill("replica")], replica={"set": True})
    site.replica_reports(**report)
    assert site.look() == Verdict("backup", Health.DEGRADED, f"{cause}{SEE}")
    site.replica_reports(age=55, behind=60)
    assert site.look() == WELL
    site.reports(repository(), drills=[drill()], replica=None)
    site.replica_reports(**report)
    assert site.look() == WELL, "what a replica that is set no longer has left is no fault"


def test_a_replica_that_fails_is_told_when_that_lasts(site: Site) -> None:
    site.reports(repository(), drills=[drill(), drill("replica")], replica={"set": True})
    for after in (0, 15, 30, 45, 60):
        site.replica_reports(age=-after, failure="no route")
        assert site.look(after) == WELL
    site.replica_reports(age=-75, failure="no route")
    assert site.look(75).cause == f"the replica fails: no route{SEE}"
    site.replica_reports(age=-90)
    assert site.look(90) == WELL
    site.replica_reports(age=-105, failure="no route")
    assert site.look(105) == WELL, "it counts from anew"


def test_of_several_faults_the_worst_comes_first_and_all_are_named(site: Site) -> None:
    drills = [drill(failure="x" * 500), drill("replica", age=9 * DAY)]
    site.reports(
        repository(check_failure="a; b\n\x1b[31m\ud800: c " + "y" * 500),
        repository("remote", 3 * HOUR, failure="no route"),
        drills=drills,
        replica={"set": True},
    )
    site.replica_reports(behind=100)
    cause = site.look().cause
    parts = cause.removesuffix(SEE).split("; ")
    assert parts[0].startswith("the check of the local repository failed: a, b [31m : c yyy")
    assert parts[1:] == [
        "there has been no remote backup since 2026-11-25 02:33 UTC",
        "the drill of the local backup failed",
        "the replica is more than 60 s behind",
        "no drill of the remote backup has run yet",
        "there has been no drill of the replica since 2026-11-16 05:33 UTC",
    ]
    assert len(parts[0]) < 180


_REPORT = {"repositories": [repository(age=3 * HOUR)], "drills": [drill()], "replica": None}


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "status.json is not valid JSON"),
        (json.dumps(_REPORT)[:-40], "status.json is not valid JSON"),
        ("\x00" * 100, "status.json is not valid JSON"),
        ("[" * 100_000, "status.json is not valid JSON"),
        ("1" * 10_000, "status.json is not valid JSON"),
        ("[]", "status.json is not a JSON object"),
        ("{}", "status.json is damaged (repositories, drills, replica)"),
    ],
)
def test_a_damaged_report_is_told_and_never_taken_for_a_good_one(site: Site, text: str, detail: str) -> None:
    site.status.write_text(text)
    assert site.look().cause == f"the report of the backups cannot be read: {detail}{SEE}"
    assert site.backups.public == []


def test_a_report_that_cannot_be_opened_is_told(site: Site) -> None:
    site.status.mkdir()
    assert "cannot be read: status.json: Is a directory" in site.look().cause


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("repositories", "at", "yesterday"),
        ("repositories", "at", True),
        ("repositories", "at", float("nan")),
        ("repositories", "at", 10**400),
        ("repositories", "at", -1),
        ("repositories", "name", "10.0.0.5"),
        ("repositories", "failure", None),
        ("repositories", "check_failure", 3),
        ("drills", "at", None),
        ("drills", "at", float("inf")),
        ("drills", "source", "elsewhere"),
        ("drills", "bookings", "many"),
        ("drills", "seconds", []),
    ],
)
def test_one_damaged_entry_hides_no_other(site: Site, place: str, key: str, value: object) -> None:
    report: dict[str, Any] = {
        "repositories": [repository(age=3 * HOUR), repository("remote")],
        "drills": [drill(), drill("remote")],
        "replica": None,
    }
    report[place][1][key] = value
    site.status.write_text(json.dumps(report))
    cause = site.look().cause
    assert cause.startswith(f"the report of the backups cannot be read: status.json is damaged ({place}[1]); ")
    assert "there has been no local backup since 2026-11-25 02:33 UTC" in cause
    del report[place][1][key]
    site.status.write_text(json.dumps(report))
    assert f"({place}[1])" in site.look().cause


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"written": NaN, "behind": 0, "failure": ""}'])
def test_a_damaged_report_of_the_replica_is_told(site: Site, text: str) -> None:
    site.reports(repository(), drills=[drill(), drill("replica")], replica={"set": True})
    site.replica.write_text(text)
    assert site.look().cause.startswith("the replica does not report how it is: replica.json is")
    site.status.write_text("{")
    assert "; the replica does not report how it is" in site.look().cause, "also where the other report is damaged"


_anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)


def _mostly(entry: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An entry of which some values are something else."""
    return st.fixed_dictionaries({key: st.one_of(st.just(value), _anything) for key, value in entry.items()})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    report=st.fixed_dictionaries(
        {},
        optional={
            "repositories": st.one_of(_anything, st.lists(_mostly(repository()), max_size=3)),
            "drills": st.one_of(_anything, st.lists(_mostly(drill()), max_size=3)),
            "replica": st.one_of(_anything, st.just({"set": True})),
        },
    ),
    replica=_mostly({"written": NOW, "behind": 0.0, "failure": ""}),
)
def test_no_report_stops_the_monitor(site: Site, report: object, replica: object) -> None:
    site.status.write_text(json.dumps(report))
    site.replica.write_text(json.dumps(replica))
    verdict = site.look()
    json.dumps(site.backups.public)
    verdict.cause.encode()
    assert verdict.cause.isprintable()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_put_right_by_an_hour_hides_a_fault_for_no_longer(site: Site, hours: int) -> None:
    site.reports(repository(age=hours * HOUR))
    assert site.look() == WELL
    assert site.look(3.1 * HOUR).cause.startswith("there has been no local backup since")


def test_a_clock_that_is_far_behind_hides_nothing(site: Site) -> None:
    site.reports(repository(), drills=[drill()])
    cause = site.look(-30 * DAY).cause
    assert "the newest local backup is dated ahead of the clock" in cause
    assert "the last drill of the local backup is dated ahead of the clock" in cause


def test_what_is_published_has_no_details(site: Site) -> None:
    secret = "dial tcp 192.0.2.7:443: /srv/restic; lock: held"
    site.reports(repository(check_failure=secret), drills=[drill(failure=secret)])
    cause = site.look().cause
    assert "192.0.2.7" in cause
    assert published(cause) == "the check of the local repository failed; the drill of the local backup failed"
    assert "192.0.2.7" not in json.dumps(site.backups.public)


def test_news_is_another_fault_and_not_another_detail() -> None:
    first = f"the drill of the local backup failed: x{SEE}"
    assert not has_news(first, first)
    assert not has_news(f"the drill of the local backup failed: y{SEE}", first)
    assert has_news(f"there is no remote backup yet: no route; the drill of the local backup failed{SEE}", first)
    assert not has_news(first, f"there is no remote backup yet; the drill of the local backup failed{SEE}")


@pytest.fixture
def reporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    """A reporter whose alerts stay in the spool."""
    monkeypatch.setattr(Delivery, "_start", lambda *_: None)
    alerts = {"webhooks": [{"url": "http://127.0.0.1:9/none", "format": "json"}], "host_name": "shop"}
    path = write_config(tmp_path, [component("redis", "redis", "x")], alerts=alerts)
    return Reporter(config.load(str(path)), EventLog(tmp_path / "monitor.log"), lambda _: [], list)


@pytest.fixture
def subjects(tmp_path: Path) -> Callable[[], list[str]]:
    """What waits to be sent, oldest first."""

    def read() -> list[str]:
        files = sorted((tmp_path / "state/spool").rglob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        return [json.loads(file.read_text())["subject"] for file in files]

    return read


def test_an_incident_that_grows_is_told_at_once_and_published_without_details(
    tmp_path: Path, reporter: Reporter, subjects: Callable[[], list[str]]
) -> None:
    failed, old = "the drill of the local backup failed", "there has been no local backup since 2026-11-25 03:27 UTC"
    first, both = f"{failed}: 192.0.2.7{SEE}", f"{old}: /srv; {failed}{SEE}"
    for now, cause in ((NOW, first), (NOW + 2, first), (NOW + 60, both), (NOW + 62, both), (NOW + 64, first)):
        incident = reporter.found("backup", cause, NOW - 60, now)
    reporter.publish(NOW + 70, {"backup": Track(Health.DEGRADED, both, since=NOW)}, None)
    reporter.close()
    assert [subject[:70] for subject in subjects()] == [
        f"[shop] backup: problem: {first}"[:70],
        f"[shop] backup: still not well after 2 min: {both}"[:70],
    ]
    assert incident.cause == both
    status = (tmp_path / "status/status.json").read_text()
    assert json.loads(status)["incidents"][0]["cause"] == f"{old}; {failed}"
    assert json.loads(status)["backups"] == []
    for name in ("status.json", "index.html", "index.ru.html", "metrics.prom"):
        text = (tmp_path / "status" / name).read_text()
        assert "192.0.2.7" not in text
        assert "/srv" not in text


def test_a_reminder_names_the_faults_that_are_left_and_the_end_is_told(
    reporter: Reporter, subjects: Callable[[], list[str]]
) -> None:
    failed, old = (
        f"the drill of the local backup failed{SEE}",
        "there has been no local backup since 2026-11-25 03:27 UTC",
    )
    reporter.found("backup", f"{old}; {failed}", NOW, NOW)
    track = Track(Health.DEGRADED, failed, since=NOW)
    reporter.proceed(NOW + 3600, {"backup": track}, None)
    track.health, track.cause, track.since = Health.OK, "", NOW + 3700
    reporter.proceed(NOW + 3800, {"backup": track}, None)
    reporter.close()
    said = subjects()
    assert said[1].startswith("[shop] backup: still not well after 1 h: the drill of the local backup failed")
    assert said[2].startswith("[shop] backup: well again")
    assert len(said) == 3
