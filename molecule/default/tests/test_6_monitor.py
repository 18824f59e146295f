"""The monitor finds a fault, cures it, and says so."""

import httpx
import pytest
from converged import API, API_2, MONITOR, MONITOR_LOG, PROXY, REDIS, freeze, healthy, new_user, wait_until
from testinfra.host import Host


def log_size(host: Host) -> int:
    """Return the number of lines in the monitor's log."""
    return int(host.check_output(f"wc -l < {MONITOR_LOG}"))


def log_since(host: Host, line: int) -> str:
    """Return what the monitor logged after the given line."""
    return str(host.check_output(f"tail -n +{line + 1} {MONITOR_LOG}"))


@pytest.mark.parametrize("container", [API, API_2, REDIS, PROXY])
def test_killed(host: Host, world: httpx.Client, container: str) -> None:
    line = log_size(host)
    host.check_output(f"docker kill {container}")
    took = wait_until(lambda: healthy(host, container), 90, f"{container} healthy after a kill")
    print(f"\n{container} killed: healthy again after {took:.1f} s")
    wait_until(lambda: "restart" in log_since(host, line), 10, "the cure in the log")
    wait_until(lambda: world.post("/api/v1/auth/register", json=new_user()).status_code == 201, 30, "a registration")


@pytest.mark.parametrize("container", [API, REDIS, PROXY])
def test_frozen(host: Host, world: httpx.Client, container: str) -> None:
    line = log_size(host)
    host.check_output(f"docker pause {container}")
    took = wait_until(lambda: healthy(host, container), 120, f"{container} healthy after a freeze")
    print(f"\n{container} frozen: healthy again after {took:.1f} s")
    wait_until(lambda: "restart" in log_since(host, line), 10, "the cure in the log")
    wait_until(lambda: world.post("/api/v1/auth/register", json=new_user()).status_code == 201, 30, "a registration")


def test_stopped_process_inside(host: Host) -> None:
    """All processes of the API stand still: Docker calls the container running, and it answers nobody."""
    freeze(host, API)
    started = host.check_output(f"docker inspect --format '{{{{.State.StartedAt}}}}' {API}")

    def restarted() -> bool:
        now = host.check_output(f"docker inspect --format '{{{{.State.StartedAt}}}}' {API}")
        return bool(now != started) and healthy(host, API)

    took = wait_until(restarted, 120, "the API restarted")
    print(f"\nAPI stopped by signal: healthy again after {took:.1f} s")


def test_removed(host: Host) -> None:
    host.check_output(f"docker rm --force {API_2}")
    wait_until(lambda: healthy(host, API_2), 90, "the removed container back")


def test_paused_monitor_leaves_the_operator_alone(host: Host) -> None:
    host.check_output("cleaning-service-monitor pause 40s --reason test")
    host.check_output(f"docker kill {API_2}")
    assert host.run("sleep 20").rc == 0
    assert not healthy(host, API_2)
    wait_until(lambda: healthy(host, API_2), 90, "cured after the pause ran out")


def test_every_event_is_in_the_journal_too(host: Host) -> None:
    last = host.check_output(f"tail -n 1 {MONITOR_LOG}").split(" ", 2)[-1]
    assert last in host.check_output(f"journalctl --unit {MONITOR} --output cat --lines 200")


def test_a_killed_monitor_comes_back(host: Host) -> None:
    before = host.service(MONITOR).systemd_properties["MainPID"]
    host.check_output(f"systemctl kill --signal KILL {MONITOR}")
    wait_until(lambda: host.service(MONITOR).is_running, 30, "the monitor running again")
    assert host.service(MONITOR).systemd_properties["MainPID"] != before
