"""A server that is too small for two replicas: the proxy holds requests while the only one is replaced."""

import json
from collections.abc import Callable

import pytest
from checkout import ONE_REPLICA, Checkout
from converged import API, API_2, DIRECTORY, MONITOR, inspect
from crowd import AtWork
from testinfra.host import Host

RATE = 50.0  # requests a second: what waits while the only replica is replaced comes all at once


def watched(host: Host) -> list[str]:
    """The containers that the monitor looks after."""
    components = json.loads(host.check_output(f"cat {DIRECTORY}/monitor.json"))["components"]
    return [component["container"] for component in components]


def test_nobody_notices_with_a_single_replica(host: Host, checkout: Callable[[str], Checkout], crowd: AtWork) -> None:
    # The test before this one has released with a single replica.
    assert host.run(f"docker inspect {API_2}").rc != 0
    assert API in watched(host)
    assert API_2 not in watched(host)
    before = inspect(host, API)["Config"]["Image"]
    next_one = checkout("single")
    next_one.change_proxy()  # as in the test before: this one is about the API alone
    next_one.set_version("7.0.0")
    with crowd("a release with a single replica", RATE):
        code, said = next_one.play("playbooks/deploy.yml", "--extra-vars", ONE_REPLICA)
    assert code == 0, said
    assert inspect(host, API)["Config"]["Image"] != before


@pytest.mark.long
def test_back_to_a_release_with_two_replicas(host: Host, checkout: Callable[[str], Checkout]) -> None:
    kept = json.loads(host.check_output("cleaning-service-release list --json"))["kept"]
    two = [each["id"] for each in kept if host.run(f"grep -q {API_2} {DIRECTORY}/releases/{each['id']}/*.yml").rc == 0]
    began = host.service(MONITOR).systemd_properties["MainPID"]
    code, said = checkout("any").play("playbooks/rollback.yml", "--extra-vars", f"release={two[-1]}")
    assert code == 0, said
    assert inspect(host, API)["Config"]["Image"] == inspect(host, API_2)["Config"]["Image"]
    assert {API, API_2} <= set(watched(host))
    assert host.service(MONITOR).is_running
    assert host.service(MONITOR).systemd_properties["MainPID"] != began
