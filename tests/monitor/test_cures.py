"""The steps: on real containers and real processes; Compose and systemctl are stood in for by scripts."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor import config, cures
from cleaning_service_monitor.cures import Healer, Outcome
from cleaning_service_monitor.docker import LIST_TIMEOUT, Engine
from cleaning_service_monitor.ladder import DOCKER, Action, Cure
from cleaning_service_monitor.probes import why_unusable

from tests.monitor.helpers import ROLES, component, docker, inspect, raw_server, write_config

Programs = Callable[[str, str], Path]


def heal(directory: Path, container: str, action: Action = Action.RESTART, name: str = "api") -> Outcome:
    """Carry out one cure of a stack whose API runs in `container`."""
    settings = config.load(str(write_config(directory, [component("api", "api", container, 8001)])))
    steps: list[None] = []
    outcome = Healer(settings, Engine(settings.docker_socket), lambda: steps.append(None)).carry_out(
        Cure(name, action, 0, 5, "test")
    )
    assert steps, "the watchdog is fed"
    return outcome


@pytest.mark.docker
@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (["kill"], "the container was started"),
        (["pause"], "the container was unpaused"),
        (["kill", "--signal=STOP"], "the container was restarted"),
    ],
)
def test_a_container_is_brought_back(
    tmp_path: Path, container: Callable[..., str], fault: list[str], detail: str
) -> None:
    name = container("api")
    docker(*fault, name)
    begun = time.monotonic()
    assert heal(tmp_path, name) == Outcome(succeeded=True, detail=detail)
    assert time.monotonic() - begun < 6
    assert inspect(name, ".State.Status") == "running"
    state = Path(f"/proc/{inspect(name, '.State.Pid')}/status").read_text()
    assert re.search(r"^State:\s+[SR]", state, re.MULTILINE), "it is not stopped any more"


@pytest.mark.docker
def test_a_missing_container_is_created_by_compose(tmp_path: Path, programs: Programs) -> None:
    calls = programs("docker", "exit 0")
    assert heal(tmp_path, "montest-missing").succeeded
    assert calls.read_text() == "compose -f /nonexistent/docker-compose.yml -p montest up -d --no-deps api\n"


@pytest.mark.docker
def test_a_container_docker_refuses_to_start_is_created_anew(
    tmp_path: Path, container: Callable[..., str], programs: Programs
) -> None:
    network = f"montest-{os.getpid()}"
    docker("network", "create", network)
    name = container("api", f"--network={network}")
    docker("kill", name)
    docker("network", "rm", network)
    calls = programs("docker", "exit 0")
    outcome = heal(tmp_path, name)
    assert outcome.succeeded
    assert re.match(
        r"the container was created anew, as Docker answered 40[34]: .*network .* not found", outcome.detail
    )
    assert calls.read_text().endswith("up -d --no-deps --force-recreate api\n")


def test_silent_docker_is_an_outcome(tmp_path: Path) -> None:
    settings = config.load(
        str(write_config(tmp_path, [component("api", "api", "montest", 8001)], docker_socket=str(tmp_path / "absent")))
    )
    healer = Healer(settings, Engine(settings.docker_socket), lambda: None)
    outcome = healer.carry_out(Cure("api", Action.RESTART, 0, 5, "test"))
    assert outcome == Outcome(succeeded=False, detail="Docker's socket: no such file or directory")


def test_a_full_restart_takes_the_stack_down_and_up(tmp_path: Path, programs: Programs) -> None:
    calls = programs("docker", "exit 0")
    assert heal(tmp_path, "montest", Action.FULL_RESTART).succeeded
    base = "compose -f /nonexistent/docker-compose.yml -p montest"
    assert calls.read_text().splitlines() == [f"{base} down --timeout 10", f"{base} up -d"]


@pytest.mark.docker
@pytest.mark.parametrize("action", [Action.RESTART, Action.FULL_RESTART])
def test_a_project_of_the_same_name_keeps_compose_out(
    tmp_path: Path, container: Callable[..., str], programs: Programs, action: Action
) -> None:
    """Compose would take its containers down too."""
    label = "--label=com.docker.compose.project"
    name = container("theirs", f"{label}=montest", f"{label}.config_files=/srv/montest/compose.yml")
    calls = programs("docker", "exit 0")
    outcome = heal(tmp_path, "montest-missing", action)
    assert not outcome.succeeded
    assert outcome.detail == f"another Compose project is called montest too: {name} from /srv/montest/compose.yml"
    assert calls.read_text() == ""


def test_a_down_that_fails_does_not_prevent_the_up(tmp_path: Path, programs: Programs) -> None:
    programs("docker", 'case "$*" in *down*) echo "network in use" >&2; exit 1;; esac')
    outcome = heal(tmp_path, "montest", Action.FULL_RESTART)
    assert outcome.succeeded
    assert outcome.detail.endswith("down --timeout 10` ended with 1: network in use")


def test_an_up_that_hangs_is_a_failure(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cures, "UP_TIMEOUT", 0.3)
    programs("docker", 'case "$*" in *up*) echo waiting; sleep 30;; esac')
    outcome = heal(tmp_path, "montest", Action.FULL_RESTART)
    assert not outcome.succeeded
    assert outcome.detail.endswith("up -d` took longer than 0.3 s: waiting")


def test_docker_is_restarted_by_systemd(tmp_path: Path, programs: Programs) -> None:
    calls = programs("systemctl", "exit 0")
    assert heal(tmp_path, "montest", Action.RESTART_DOCKER, DOCKER).succeeded
    assert calls.read_text().splitlines() == ["reset-failed docker.service docker.socket", "restart docker.service"]


def test_no_look_takes_as_long_as_the_watchdog_waits() -> None:
    unit = (ROLES / "monitor/templates/cleaning-service-monitor.service.j2").read_text()
    watchdog = re.search(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    assert watchdog
    longest_look = LIST_TIMEOUT + config._SECONDS["probe_timeout"][2] + config._SECONDS["canary_timeout"][2] + 1
    assert longest_look + 10 < int(watchdog[1])


def test_a_hung_docker_is_killed_before_it_is_restarted(tmp_path: Path, programs: Programs) -> None:
    calls = programs("systemctl", "exit 0")
    path = str(tmp_path / "socket")
    with raw_server(path, lambda _connection: time.sleep(4)):
        settings = config.load(str(write_config(tmp_path, [component("redis", "redis", "x")], docker_socket=path)))
        cure = Cure(DOCKER, Action.RESTART_DOCKER, 1, 3, "test")
        outcome = Healer(settings, Engine(path), lambda: None).carry_out(cure)
    assert outcome == Outcome(succeeded=True, detail="Docker was restarted, killed first as it hung")
    assert calls.read_text().splitlines() == [
        "kill --kill-who=main --signal=KILL docker.service",
        "kill --kill-who=main --signal=KILL containerd.service",
        "reset-failed docker.service docker.socket",
        "restart containerd.service docker.service",
    ]


@pytest.mark.docker
def test_a_container_off_its_network_is_created_anew(
    tmp_path: Path, container: Callable[..., str], programs: Programs
) -> None:
    name = container("api")
    calls = programs("docker", "exit 0")
    entry: dict[str, object] = {**component("api", "api", name, 8001), "networks": ["montest-missing"]}
    settings = config.load(str(write_config(tmp_path, [entry])))
    outcome = Healer(settings, Engine(settings.docker_socket), lambda: None).carry_out(
        Cure("api", Action.RESTART, 0, 5, "test")
    )
    assert outcome.detail == "the container was created anew"
    assert calls.read_text().endswith("up -d --no-deps --force-recreate api\n")


@pytest.mark.docker
@pytest.mark.parametrize("starts", [False, True])
def test_owners_are_mended_by_a_unit_that_may(
    tmp_path: Path, container: Callable[..., str], programs: Programs, *, starts: bool
) -> None:
    """Only a container that ends at its start is restarted: another one may hold the only copy of what was removed."""
    calls, name = programs("systemctl", "exit 0"), container("api")
    before = inspect(name, ".State.StartedAt")
    settings = config.load(str(write_config(tmp_path, [component("api", "api", name, 8001)])))
    cause = why_unusable("exit code 77") if starts else "the database file is missing"
    outcome = Healer(settings, Engine(settings.docker_socket), lambda: None).carry_out(
        Cure("api", Action.MEND_OWNERS, 0, 1, cause)
    )
    assert outcome == Outcome(succeeded=True, detail="owners and modes of the data were seen to")
    assert calls.read_text() == "start cleaning-service-mend-owners.service\n"
    assert (inspect(name, ".State.StartedAt") != before) == starts
