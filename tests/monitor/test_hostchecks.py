"""The host's own troubles, on real files, a real TLS server and fake clocks."""

import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor import cli, config, hostchecks
from cleaning_service_monitor.hostchecks import Clocks, HostChecker, certificate_end
from cleaning_service_monitor.ladder import Health, Verdict

from tests.monitor.helpers import component, wait_until, write_config

NOW = 1_764_000_000.0


class Time:
    """Clocks that a test moves."""

    def __init__(self, wall: float = NOW) -> None:
        self.wall = wall
        self.steady = 1000.0
        self.clocks = Clocks(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> None:
        """Let both go on."""
        self.wall += seconds
        self.steady += seconds


def checker(directory: Path, moment: Time | None = None, **host: object) -> HostChecker:
    quiet = {"clock_check": False, "integrity_hour": None, "disk_degraded_percent": 0, "disk_full_percent": 0}
    path = write_config(directory, [component("redis", "redis", "x")], host=quiet | host)
    return HostChecker(config.load(str(path)), (moment or Time()).clocks)


def look(checked: HostChecker, name: str) -> Verdict:
    return next(verdict for verdict in checked.look() if verdict.component == name)


@pytest.mark.parametrize(
    ("degraded", "full", "health"), [(0, 0, Health.OK), (20, 0, Health.DEGRADED), (20, 20, Health.SICK)]
)
def test_a_small_disk_that_fills(tmp_path: Path, degraded: int, full: int, health: Health) -> None:
    data = tmp_path / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", data], check=True)
    try:
        (data / "ballast").write_bytes(b"x" * 900_000)
        verdict = look(checker(tmp_path, disk_degraded_percent=degraded, disk_full_percent=full), "disk")
    finally:
        subprocess.run(["umount", data], check=True)
    assert verdict.health is health
    assert health is Health.OK or str(data) in verdict.cause


def test_dockers_directory_is_looked_at_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "daemon.json"
    monkeypatch.setattr(hostchecks, "_DOCKER_SETTINGS", settings)
    for text in (None, "{", "{}"):
        if text is not None:
            settings.write_text(text)
        assert hostchecks._docker_root() == Path("/var/lib/docker")
    settings.write_text('{"data-root": "/srv/docker"}')
    assert hostchecks._docker_root() == Path("/srv/docker")


def test_memory_that_runs_out(tmp_path: Path) -> None:
    assert look(checker(tmp_path, memory_degraded_percent=0), "memory").health is Health.OK
    available = hostchecks.memory_available()
    assert available is not None
    assert 0 < available < 100


def test_a_clock_that_jumps_is_told_for_a_while(tmp_path: Path) -> None:
    moment = Time()
    checked = checker(tmp_path, moment)
    moment.passes(60)
    assert look(checked, "clock").health is Health.OK
    moment.wall -= 3600
    assert look(checked, "clock") == Verdict("clock", Health.DEGRADED, "the clock jumped by -3600 s")
    moment.passes(700)
    assert look(checked, "clock").health is Health.OK


def test_a_clock_that_nobody_sets(tmp_path: Path, programs: Callable[[str, str], Path]) -> None:
    calls = programs("timedatectl", "echo no")
    moment = Time()
    checked = checker(tmp_path, moment, clock_check=True)
    assert look(checked, "clock").health is Health.OK
    moment.passes(1000)
    wait_until(lambda: look(checked, "clock").health is Health.DEGRADED, 10, "told")
    assert "NTPSynchronized" in calls.read_text()
    checked.close()


def test_backups_are_looked_at_where_there_are_any(tmp_path: Path) -> None:
    checked = checker(tmp_path)
    assert "backup" not in checked.names
    assert checked.backups is None
    moment = Time(time.time())
    checked = checker(tmp_path, moment, backups=True, backup_max_age_hours=3)
    assert look(checked, "backup").cause.startswith("the backups are not set up: run site.yml; ")
    assert checked.backups == []
    report = {"name": "local", "at": moment.wall, "failure": "", "check_failure": ""}
    (tmp_path / "backup.json").write_text("{}")
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup/status.json").write_text(json.dumps({"repositories": [report], "drills": [], "replica": None}))
    assert look(checked, "backup") == Verdict("backup", Health.OK)
    assert [source["health"] for source in checked.backups or []] == ["ok"]
    moment.passes(2.9 * 3600)
    assert look(checked, "backup").health is Health.OK
    moment.passes(0.2 * 3600)
    assert look(checked, "backup").health is Health.DEGRADED


def test_a_release_that_did_not_take_over_is_told(tmp_path: Path) -> None:
    checked = checker(tmp_path)
    assert look(checked, "release").health is Health.OK
    (tmp_path / "releases").mkdir()
    failed = tmp_path / "releases" / "failed.json"
    failed.write_text('{"id": "20261125T090000Z", "reason": "it was not ready"}')
    verdict = look(checked, "release")
    assert (verdict.health, verdict.cause) == (Health.DEGRADED, "the release 20261125T090000Z failed: it was not ready")
    failed.write_text("{")
    assert look(checked, "release").health is Health.OK


def test_a_release_that_does_not_end_is_told(tmp_path: Path) -> None:
    moment = Time(time.time())
    checked = checker(tmp_path, moment)
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "under-way.json").touch()
    assert look(checked, "release").health is Health.OK
    moment.passes(1900)
    assert look(checked, "release").cause == "a release was interrupted: run deploy.yml again, which ends it"


@pytest.mark.parametrize(
    ("script", "cause"), [("echo sound", ""), ("echo 3 rows point to nothing; exit 1", "3 rows point to nothing")]
)
def test_the_database_is_checked_once_a_day(
    tmp_path: Path, programs: Callable[[str, str], Path], script: str, cause: str
) -> None:
    calls = programs("docker", script)
    moment = Time(NOW)  # 16:00 UTC
    checked = checker(tmp_path, moment, integrity_hour=17)
    assert look(checked, "database").health is Health.OK
    moment.passes(3600)
    wait_until(lambda: look(checked, "database").cause.endswith(cause) and calls.read_text(), 10, "checked")
    time.sleep(0.3)
    verdict = look(checked, "database")
    assert (verdict.health is Health.OK) is (not cause)
    moment.passes(600)
    look(checked, "database")
    assert calls.read_text().count("check-database") == 1
    moment.passes(3600)
    look(checked, "database")
    wait_until(lambda: calls.read_text().count("check-database") == (2 if cause else 1), 10, "repeated where it failed")
    assert "run --rm --no-deps -T" in calls.read_text()
    checked.close()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, of 5 days."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "5", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *options, *files], check=True, capture_output=True
    )
    return key, certificate


@pytest.fixture
def tls_port(authority: tuple[Path, Path]) -> int:
    """A real TLS server for one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority[1], authority[0])
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return  # the client does not trust it

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def config_with_certificate(directory: Path, port: int) -> Path:
    """Write a configuration of a host whose certificate is looked at."""
    host = {"clock_check": False, "certificate_name": "localhost", "certificate_port": port}
    return write_config(directory, [component("redis", "redis", "x")], host=host)


def test_a_certificate_that_is_trusted_tells_its_end(
    authority: tuple[Path, Path], tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    days = (certificate_end("localhost", tls_port) - time.time()) / 86400
    assert 4.9 < days < 5.1


def test_a_certificate_that_nobody_trusts(tls_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(OSError, match="self-signed certificate"):
        certificate_end("localhost", tls_port)


def test_the_command_says_until_when_a_certificate_is_good(
    tmp_path: Path,
    authority: tuple[Path, Path],
    tls_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    assert cli.main(["--config", str(config_with_certificate(tmp_path, tls_port)), "certificate"]) == cli.OK
    assert re.fullmatch(r"localhost: good until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+\n", capsys.readouterr().out)


def test_the_command_says_why_a_certificate_is_not_good(
    tmp_path: Path, tls_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert cli.main(["--config", str(config_with_certificate(tmp_path, tls_port)), "certificate"]) == cli.SICK
    assert re.match("localhost: .*self-signed certificate", capsys.readouterr().out)


def test_the_command_says_that_there_is_no_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path, [component("redis", "redis", "x")])
    assert cli.main(["--config", str(path), "certificate"]) == cli.OK
    assert "no certificate is looked at" in capsys.readouterr().out


def test_a_certificate_that_ends_soon_is_told(
    tmp_path: Path, authority: tuple[Path, Path], tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    (tmp_path / "monitor").mkdir()
    path = write_config(tmp_path, [component("redis", "redis", "x")])
    monkeypatch.setenv(config.PATH_VARIABLE, str(path))
    checked = checker(tmp_path, Time(time.time()), certificate_name="localhost", certificate_port=tls_port)
    wait_until(lambda: look(checked, "certificate").health is Health.DEGRADED, 15, "told")
    assert look(checked, "certificate").cause == "the certificate ends in 5.0 days"
    checked.close()


def test_nothing_is_left_behind(tmp_path: Path, programs: Callable[[str, str], Path]) -> None:
    programs("timedatectl", "sleep 60")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    checked = checker(tmp_path, clock_check=True)
    look(checked, "clock")
    checked.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
