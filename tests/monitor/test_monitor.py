"""The whole monitor as a process: real containers, a service that misbehaves on demand, a real stop."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cleaning_service_monitor.config import load
from cleaning_service_monitor.events import Death
from cleaning_service_monitor.ladder import Health, Verdict
from cleaning_service_monitor.monitor import Monitor
from cleaning_service_monitor.probes import why_unusable

from tests.monitor.helpers import PACKAGE_DIRECTORY, Service, component, docker, inspect, wait_until, write_config

MonitorFactory = Callable[..., "Process"]


class Process:
    """A running `cleaning-service-monitor run`."""

    def __init__(self, config: Path, output: int | None = None, **options: object) -> None:
        self.config = config
        self.log = config.with_name("monitor.log")
        self.output = config.with_name("journal")
        with self.output.open("wb") as file:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                [sys.executable, "-m", "cleaning_service_monitor", "--config", config, "run"],
                cwd=PACKAGE_DIRECTORY,
                stdout=file if output is None else output,
                stderr=subprocess.STDOUT,
                **options,
            )
        self.pid: int = self._process.pid

    def events(self) -> list[str]:
        """Return `component event` of each line so far, from the log file."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [" ".join(line.split()[2:4]) for line in lines]

    def wait_for(self, event: str, seconds: float = 15) -> None:
        """Wait until an event is in the log."""
        try:
            wait_until(lambda: event in self.events(), seconds, event)
        except AssertionError as error:
            raise AssertionError(f"{error}; the output so far:\n{self.output.read_text()}") from None

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same configuration."""
        return subprocess.run(
            [sys.executable, "-m", "cleaning_service_monitor", "--config", self.config, *arguments],
            cwd=PACKAGE_DIRECTORY,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return int(self._process.wait(10))


@pytest.fixture
def monitor() -> Iterator[MonitorFactory]:
    """Start monitors; they end with the test."""
    processes: list[Process] = []

    def start(config: Path, output: int | None = None, **options: object) -> Process:
        processes.append(Process(config, output, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.stop(signal.SIGKILL)


@pytest.fixture
def stack(tmp_path: Path, container: Callable[..., str], service: Service) -> tuple[Path, str, str]:
    """A configuration for Redis and one API replica, and their containers."""
    redis, api = container("redis", "--network=none"), container("api")
    config = write_config(
        tmp_path, [component("redis", "redis", redis), component("api", "api", api, service.port)], stable_time=1
    )
    return config, redis, api


@pytest.fixture(scope="module")
def idle_containers(idle_container: Callable[..., str]) -> tuple[str, str]:
    """Containers for tests that leave them alone."""
    return idle_container("redis", "--network=none"), idle_container("api")


@pytest.fixture
def idle_stack(tmp_path: Path, idle_containers: tuple[str, str], service: Service) -> Path:
    """A configuration for containers that a test leaves alone."""
    redis, api = idle_containers
    return write_config(tmp_path, [component("redis", "redis", redis), component("api", "api", api, service.port)])


@pytest.mark.docker
def test_it_heals_a_killed_container_and_tells_the_story(stack: tuple[Path, str, str], monitor: MonitorFactory) -> None:
    config, redis, _ = stack
    process = monitor(config)
    process.wait_for("monitor check")
    docker("kill", redis)
    process.wait_for("redis ok")
    assert inspect(redis, ".State.Status") == "running"
    story = [event for event in process.events() if event.startswith("redis")]
    assert story == ["redis incident-opened", "redis down", "redis cure-started", "redis cure-done", "redis ok"]
    line = next(line for line in process.log.read_text().splitlines() if "cure-started" in line)
    assert 'action="restart" attempt="1 of 3" cause="container is exited: Exited (137)' in line
    assert process.output.read_text() == process.log.read_text(), "the journal has the same"


@pytest.mark.docker
def test_it_does_not_fight_a_restart_by_hand(
    tmp_path: Path, container: Callable[..., str], monitor: MonitorFactory
) -> None:
    redis = container("redis", "--network=none", "--init", "--stop-signal=TERM")
    process = monitor(write_config(tmp_path, [component("redis", "redis", redis)]))
    process.wait_for("monitor check")
    docker("stop", redis)
    process.wait_for("redis down")
    time.sleep(2)  # a slow server's time between the end of a container and its start
    docker("start", redis)
    process.wait_for("redis ok")
    assert [event for event in process.events() if event.startswith("redis")] == ["redis down", "redis ok"]
    docker("stop", redis)
    process.wait_for("redis cure-done", 20)  # stopped and left


@pytest.mark.docker
def test_a_person_is_told_before_docker_is_restarted(
    tmp_path: Path,
    idle_containers: tuple[str, str],
    service: Service,
    monitor: MonitorFactory,
    programs: Callable[[str, str], Path],
) -> None:
    systemctl = programs("systemctl", "case $* in *restart*) sleep 60 ;; esac")
    components = [
        component(kind, kind, name, service.port) for kind, name in zip(("api", "proxy"), idle_containers, strict=True)
    ]
    path = str(tmp_path / "way-in.sock")
    service.status["/alerts"], service.delay["/alerts"] = 200, 0.0
    alerts = {"webhooks": [{"url": f"http://127.0.0.1:{service.port}/alerts", "format": "json"}]}
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        process = monitor(write_config(tmp_path, components, ingress={"ipv4": path, "ipv6": path}, alerts=alerts))
        process.wait_for("ingress cure-started", 20)
        wait_until(lambda: ("POST", "/alerts", "") in service.requests, 15, "the alert is there")
    assert "restart docker.service" in systemctl.read_text()
    assert "ingress cure-done" not in process.events()


@pytest.mark.docker
@pytest.mark.parametrize("path", ["/health/ready", "/internal/canary"])
def test_it_restarts_an_api_that_hangs(
    stack: tuple[Path, str, str], service: Service, monitor: MonitorFactory, path: str
) -> None:
    config, redis, api = stack
    process = monitor(config)
    process.wait_for("monitor check")
    before, redis_before = inspect(api, ".State.Pid"), inspect(redis, ".State.Pid")
    service.delay[path] = 30
    process.wait_for("api cure-started")
    service.delay[path] = 0
    process.wait_for("api ok")
    assert inspect(api, ".State.Pid") != before
    assert inspect(redis, ".State.Pid") == redis_before, "nothing else was touched"


@pytest.mark.docker
def test_what_no_step_cures_ends_with_a_person(
    stack: tuple[Path, str, str], service: Service, monitor: MonitorFactory, programs: Callable[[str, str], Path]
) -> None:
    compose, systemctl = programs("docker", "exit 0"), programs("systemctl", "exit 0")
    service.status["/internal/canary"] = 500
    process = monitor(stack[0])
    process.wait_for("api a-person-is-needed", 30)
    attempts = [line for line in process.log.read_text().splitlines() if "cure-started" in line]
    actions = [line.split('action="')[1].split('"')[0] for line in attempts]
    assert actions == ["restart"] * 3 + ["full-restart", "restart-docker"]
    ends = [line.split()[-2:] for line in compose.read_text().splitlines()]
    assert ends == [["--force-recreate", "api"], ["--timeout", "10"], ["up", "-d"]]
    assert systemctl.read_text().splitlines()[-1] == "restart containerd.service docker.service"
    status = process.command("status")
    assert (status.returncode, "a person is needed" in status.stdout) == (1, True)
    time.sleep(1)
    assert process.events().count("api a-person-is-needed") == 1
    assert process.events().count("api cure-started") == 5, "it does not loop"
    process.stop()
    reborn = monitor(stack[0])
    wait_until(lambda: reborn.events().count("api sick") == 2, 10, "the new process has looked")
    time.sleep(1)
    assert reborn.events().count("api cure-started") == 5, "it remembers"


@pytest.mark.docker
def test_a_pause_is_respected_and_its_end_is_not_missed(stack: tuple[Path, str, str], monitor: MonitorFactory) -> None:
    config, redis, _ = stack
    process = monitor(config)
    process.wait_for("monitor check")
    assert process.command("pause", "30m", "--reason", "a deployment", "--wait", "20s").returncode == 0
    assert "monitor paused" in process.events()
    docker("kill", redis)
    process.wait_for("redis down")
    assert process.stop() == 0
    process = monitor(config)
    wait_until(lambda: process.events().count("redis down") == 2, 10, "the pause outlives the process")
    time.sleep(2)
    assert inspect(redis, ".State.Status") == "exited"
    assert "redis cure-started" not in process.events()
    report = json.loads(process.command("status", "--json").stdout)
    assert (report["paused"]["reason"], report["components"]["redis"]["health"]) == ("a deployment", "down")
    assert process.command("resume").stdout == "Resumed.\n"
    process.wait_for("monitor resumed")
    process.wait_for("redis ok")


@pytest.mark.docker
def test_it_heals_on_a_full_disk(stack: tuple[Path, str, str], monitor: MonitorFactory) -> None:
    config, redis, _ = stack

    def full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    docker("kill", redis)
    reader, writer = os.pipe()  # the limit is for files, and so not for the journal
    process = monitor(config, output=writer, preexec_fn=full_disk)
    os.close(writer)
    wait_until(lambda: inspect(redis, ".State.Status") == "running", 15, "Redis runs again")
    assert process.stop() == 0
    with os.fdopen(reader) as output:
        events = [line.split()[3] for line in output]
    assert events.count("log-file-failed") == 1
    assert events.count("state-not-saved") == 1
    assert "cure-done" in events


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_cleanly(idle_stack: Path, service: Service, monitor: MonitorFactory, number: int) -> None:
    service.delay["/internal/canary"] = 30
    idle_stack.write_text(json.dumps(json.loads(idle_stack.read_text()) | {"canary_timeout": 15}))
    process = monitor(idle_stack)
    process.wait_for("monitor started")
    wait_until(lambda: len(service.requests) == 2, 10, "the canary is under way")
    begun = time.monotonic()
    assert process.stop(number) == 0
    assert time.monotonic() - begun < 1
    assert process.events()[-1] == "monitor stopped"


@pytest.mark.docker
def test_a_cure_that_is_interrupted_is_told(
    stack: tuple[Path, str, str], monitor: MonitorFactory, programs: Callable[[str, str], Path]
) -> None:
    config, redis, _ = stack
    docker("rm", "--force", redis)
    calls = programs("docker", "sleep 60")
    process = monitor(config)
    wait_until(calls.read_text, 15, "Compose was called")
    assert process.stop() == 0
    assert process.log.read_text().endswith('monitor stopped interrupted="restart of redis"\n')


@pytest.mark.docker
def test_there_is_only_one(idle_stack: Path, monitor: MonitorFactory) -> None:
    first = monitor(idle_stack)
    first.wait_for("monitor check")
    second = first.command("run")
    assert (second.returncode, second.stderr) == (
        2,
        "cleaning-service-monitor: another cleaning-service-monitor runs already\n",
    )


@pytest.mark.docker
def test_a_damaged_state_is_told_and_left_behind(idle_stack: Path, monitor: MonitorFactory) -> None:
    config = idle_stack
    (config.parent / "state/state.json").write_text('{"ladder": {"spent": 3}}')
    process = monitor(config)
    process.wait_for("monitor check")
    assert process.events()[0] == "monitor state-lost"
    wait_until(lambda: process.command("status").returncode == 0, 5, "healthy by status")


@pytest.mark.docker
def test_what_backups_report_is_seen_and_published(idle_stack: Path, monitor: MonitorFactory) -> None:
    settings, directory = json.loads(idle_stack.read_text()), idle_stack.parent
    settings["host"]["backups"] = True
    idle_stack.write_text(json.dumps(settings))
    process = monitor(idle_stack)
    process.wait_for("backup degraded")
    assert (
        'cause="the backups are not set up: run site.yml; no backup has been reported yet; see '
        in process.log.read_text()
    )
    (directory / "backup").mkdir()
    (directory / "backup.json").write_text("{}")
    at = time.time()
    report = {"repositories": [{"name": "local", "at": at, "failure": "", "check_failure": ""}], "drills": []}
    (directory / "backup/status.json").write_text(json.dumps({**report, "replica": None}))
    process.wait_for("backup ok")
    published = {"name": "local", "at": at, "behind": None, "health": "ok", "drill": None}
    status = directory / "status/status.json"
    wait_until(lambda: json.loads(status.read_text())["backups"] == [published], 5, "published")
    assert "Copies on this server" in (directory / "status/index.html").read_text()


@pytest.mark.docker
def test_systemd_hears_that_it_is_ready_and_alive(idle_stack: Path, monitor: MonitorFactory) -> None:
    path = str(idle_stack.with_name("notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(5)
        process = monitor(idle_stack, env={**os.environ, "NOTIFY_SOCKET": path})
        messages = [receiver.recv(1000).decode() for _ in range(12)]
        assert messages[0].startswith("READY=1")
        assert messages.count("WATCHDOG=1") >= 6
        assert any(message.startswith("STATUS=docker=ok redis=ok api=ok") for message in messages)
        os.kill(process.pid, signal.SIGSTOP)  # a stuck loop says nothing, and systemd acts on that
        wait_until(lambda: not select.select([receiver], [], [], 0)[0] or not receiver.recv(1000), 5, "silence")
        assert select.select([receiver], [], [], 1) == ([], [], [])


@pytest.mark.docker
def test_it_needs_little_memory(idle_stack: Path, service: Service, monitor: MonitorFactory) -> None:
    process = monitor(idle_stack)
    wait_until(lambda: len(service.requests) > 10, 20, "ten probes")
    assert process.memory() < 25 * 1024 * 1024


def test_a_container_that_ends_for_its_data_stays_blocked_while_it_tries_again(tmp_path: Path) -> None:
    monitor = Monitor(load(str(write_config(tmp_path, [component("api", "api", "montest-api", 8001)]))))
    starting, well = Verdict("api", Health.STARTING, "container is starting"), Verdict("api", Health.OK)
    missing, foreign = why_unusable("exit code 66"), why_unusable("exit code 77")
    assert monitor._with_unusable_data(starting, None) == starting
    blocked = monitor._with_unusable_data(starting, Death("api", 0.0, missing))
    assert blocked == Verdict("api", Health.BLOCKED, missing)
    assert monitor._with_unusable_data(starting, None) == blocked
    restarting = Verdict("api", Health.STARTING, "container is restarting: Restarting (77) 1 second ago")
    assert monitor._with_unusable_data(restarting, None) == Verdict("api", Health.FORBIDDEN, foreign)
    assert monitor._with_unusable_data(well, None) == well
    assert monitor._with_unusable_data(starting, None) == starting
