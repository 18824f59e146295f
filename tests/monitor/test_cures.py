"""The steps: on real containers and real processes; Compose and systemctl are stood in for by scripts."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_monitor import config, cures
from cleaning_service_monitor.commands import CommandError, run_command
from cleaning_service_monitor.cures import Healer, Outcome
from cleaning_service_monitor.docker import LIST_TIMEOUT, Engine
from cleaning_service_monitor.ladder import DOCKER, Action, Cure

from tests.monitor.helpers import component, docker, inspect, raw_server, wait_until, write_config

ROLE = Path(__file__).parents[2] / "roles/monitor"
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


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; echo started; wait"
    begun = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.5 s: started"):
        run_command(["sh", "-c", script], 0.5)
    assert time.monotonic() - begun < 3
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not _lives(int(pid)), 5, f"process {pid} gone")  # type: ignore[misc]


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_command_is_ended_when_the_monitor_is(tmp_path: Path) -> None:
    def stop(_number: int, _frame: object) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(SystemExit):
            run_command(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 60"], 30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not _lives(int((tmp_path / "pid").read_text()))


def test_a_daemon_that_keeps_the_output_open_does_not_hold_us_up() -> None:
    begun = time.monotonic()
    run_command(["sh", "-c", "setsid sleep 3 & exit 0"], 10)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "echo one; echo two >&2; exit 3"], "ended with 3: two"),
        (["false"], "ended with 1: no output"),
        (["/nonexistent/program"], "cannot be run: No such file or directory"),
    ],
)
def test_a_command_that_fails_says_why(command: list[str], reason: str) -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(CommandError, match=reason):
        run_command(command, 5)
    assert set(Path("/proc/self/fd").iterdir()) == descriptors


def test_no_look_takes_as_long_as_the_watchdog_waits() -> None:
    unit = (ROLE / "templates/cleaning-service-monitor.service.j2").read_text()
    watchdog = re.search(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    assert watchdog
    longest_look = LIST_TIMEOUT + config._SECONDS["probe_timeout"][2] + config._SECONDS["canary_timeout"][2] + 1
    assert longest_look + 10 < int(watchdog[1])


def test_the_watchdog_is_fed_while_a_command_runs() -> None:
    fed: list[float] = []
    run_command(["sleep", "2.5"], 10, lambda: fed.append(time.monotonic()))
    assert len(fed) == 2


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
