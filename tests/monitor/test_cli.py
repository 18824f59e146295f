"""The command line, as people and programs call it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor.state import RunLock

from tests.monitor.helpers import PACKAGE_DIRECTORY, Service, component, docker, write_config


def call(config: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script that the service and the link in /usr/local/bin start."""
    environment = {**os.environ, "CLEANING_SERVICE_MONITOR_CONFIG": str(config)}
    return subprocess.run(
        [PACKAGE_DIRECTORY / "monitor_and_restart.sh", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of a stack that does not exist."""
    return write_config(tmp_path, [component("redis", "redis", "montest-missing")])


@pytest.mark.docker
def test_check_of_a_healthy_stack(tmp_path: Path, container: Callable[..., str], service: Service) -> None:
    components = [
        component("redis", "redis", container("redis", "--network=none")),
        component("api", "api", container("api"), service.port),
    ]
    done = call(write_config(tmp_path, components), "check", "--once")
    assert (done.returncode, done.stdout.split(), done.stderr) == (
        0,
        ["docker", "ok", "redis", "ok", "api", "ok", "disk", "ok", "memory", "ok", "clock", "ok", "release", "ok"],
        "",
    )
    assert "/internal/canary" in [path for _, path, _ in service.requests]


@pytest.mark.docker
def test_check_cures_nothing(tmp_path: Path, container: Callable[..., str]) -> None:
    name = container("redis", "--network=none")
    docker("kill", name)
    done = call(write_config(tmp_path, [component("redis", "redis", name)]), "check", "--once")
    assert done.returncode == 1
    assert "redis        down      container is exited: Exited (137)" in done.stdout
    assert docker("inspect", "--format", "{{.State.Running}}", name) == "false"


def test_check_without_docker(tmp_path: Path) -> None:
    path = write_config(tmp_path, [component("redis", "redis", "montest")], docker_socket=str(tmp_path / "absent"))
    done = call(path, "check", "--once")
    assert done.returncode == 1
    assert done.stdout.startswith("docker       down      Docker's socket: no such file or directory\n")


@pytest.mark.parametrize("command", [["check", "--once"], ["status"], ["pause", "1m"], ["resume"], ["run"], []])
def test_without_a_configuration(tmp_path: Path, command: list[str]) -> None:
    done = call(tmp_path / "absent.json", *command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "absent.json cannot be read" in done.stderr


def test_status_without_a_monitor(config: Path) -> None:
    done = call(config, "status")
    assert done.returncode == 3
    assert "The monitor does not run" in done.stdout
    assert call(config, "status", "--json").returncode == 3


def test_status_where_no_monitor_ever_ran(config: Path) -> None:
    (config.parent / "state").rmdir()
    assert call(config, "status").returncode == 3


def test_status_of_a_damaged_state(config: Path) -> None:
    (config.parent / "state/state.json").write_text("{")
    assert call(config, "status").returncode == 3


def test_pause_and_resume(config: Path) -> None:
    done = call(config, "pause", "30m", "--reason", "a new release")
    assert done.returncode == 0
    assert done.stdout.startswith("Paused until 20")
    assert "a new release" in call(config, "status").stdout
    assert call(config, "resume").stdout == "Resumed.\n"
    assert call(config, "resume").stdout == "There was no pause.\n"


def test_pause_waits_for_the_monitor_if_it_runs(config: Path) -> None:
    assert call(config, "pause", "30m", "--wait", "1h").returncode == 0, "none runs"
    lock = RunLock(config.parent / "state")
    assert lock.acquire()
    done = call(config, "pause", "30m", "--wait", "1s")
    assert done.returncode == 2
    assert "paused, but a cure has not ended within 1 s" in done.stderr
    lock.release()


@pytest.mark.parametrize("time", ["0m", "25h", "30", "m", "-5m", "1.5h", "1d", ""])
def test_a_wrong_time_is_refused(config: Path, time: str) -> None:
    done = call(config, "pause", "--", time)
    assert done.returncode == 2
    assert "is no time such as 90s, 30m or 2h, of at most 24h" in done.stderr


def test_pause_that_cannot_be_written(config: Path) -> None:
    (config.parent / "state").rmdir()
    done = call(config, "pause", "30m")
    assert done.returncode == 2
    assert "No such file or directory" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_script_is_found_through_a_link_and_heeds_no_module_of_the_caller(tmp_path: Path, config: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    link = tmp_path / "cleaning-service-monitor"
    link.symlink_to(PACKAGE_DIRECTORY / "monitor_and_restart.sh")
    done = subprocess.run(
        [link, "--config", config, "resume"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (0, "There was no pause.\n")


@pytest.mark.parametrize("command", [["check"], ["dance"], ["status", "--xml"]])
def test_a_wrong_command_is_refused(config: Path, command: list[str]) -> None:
    assert call(config, *command).returncode == 2


def test_a_configuration_is_tried_out(config: Path) -> None:
    done = call(None, "check-config", str(config))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{config} can be used.\n", "")
    config.write_text(config.read_text().replace('"backoff": 0', '"backoff": 999'))
    done = call(None, "check-config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{config}: backoff must be a number of seconds from 0 to 300, not 999." in done.stderr
