"""The monitor finds a fault, cures it, and says so. The scenario `faults` has all kinds of them."""

import httpx
from converged import API, API_2, MONITOR, MONITOR_LOG, healthy, new_user, wait_until
from testinfra.host import Host


def log_size(host: Host) -> int:
    """Return the number of lines in the monitor's log."""
    return int(host.check_output(f"wc -l < {MONITOR_LOG}"))


def log_since(host: Host, line: int) -> str:
    """Return what the monitor logged after the given line."""
    return str(host.check_output(f"tail -n +{line + 1} {MONITOR_LOG}"))


def test_a_paused_container_goes_on(host: Host, world: httpx.Client) -> None:
    line = log_size(host)
    host.check_output(f"docker pause {API}")
    took = wait_until(lambda: healthy(host, API), 120, "the container healthy after a pause")
    print(f"\n{API} paused: healthy again after {took:.1f} s")
    wait_until(lambda: "cure-done" in log_since(host, line), 10, "the cure in the log")
    assert world.post("/api/v1/auth/register", json=new_user()).status_code == 201


def test_a_paused_monitor_leaves_the_operator_alone(host: Host) -> None:
    host.check_output("cleaning-service-monitor pause 15s --reason test")
    host.check_output(f"docker kill {API_2}")
    assert host.run("sleep 10").rc == 0
    assert not healthy(host, API_2)
    took = wait_until(lambda: healthy(host, API_2), 60, "cured after the pause ran out")
    print(f"\n{API_2} killed: healthy again {took:.1f} s after 10 s without a cure")


def test_every_event_is_in_the_journal_too(host: Host) -> None:
    last = host.check_output(f"tail -n 1 {MONITOR_LOG}").split(" ", 2)[-1]
    assert last in host.check_output(f"journalctl --unit {MONITOR} --output cat --lines 200")
