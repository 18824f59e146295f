"""The operator's ansible-playbook dies in the middle of a release."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from checkout import Checkout
from converged import API, API_2, DIRECTORY, inspect
from crowd import AtWork
from testinfra.host import Host

MOMENTS = int(os.environ.get("MOMENTS", "1"))
LONGEST = 30.0  # seconds that a release of this kind takes


@pytest.mark.timeout(300 + 200 * MOMENTS)
def test_the_release_goes_on_without_its_operator(
    host: Host, checkout: Callable[[str], Checkout], crowd: AtWork
) -> None:
    chosen = random.Random(20261125)  # noqa: S311  # reproducible moments
    versions = [checkout("one"), checkout("two")]
    for number, version in enumerate(versions):
        version.set_version(f"5.{number}.0")
    with crowd(f"{MOMENTS} operators killed"):
        for number in range(MOMENTS):
            wanted = versions[number % 2]
            moment = chosen.uniform(2, LONGEST)
            process = wanted.begin("playbooks/deploy.yml")
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            code, said = wanted.play("playbooks/deploy.yml")
            print(f"killed after {moment:.1f} s; the next run ended with {code}")
            assert code == 0, said
            assert inspect(host, API)["Config"]["Image"] == inspect(host, API_2)["Config"]["Image"]
            assert not host.file(f"{DIRECTORY}/releases/under-way.json").exists


@pytest.mark.long
def test_a_release_that_is_ended_itself_returns(host: Host, checkout: Callable[[str], Checkout], crowd: AtWork) -> None:
    """SIGKILL of the process on the server: the next run finishes what it began."""
    wanted = checkout("three")
    wanted.set_version("6.0.0")
    with crowd("a release killed on the server"):
        process = wanted.begin("playbooks/deploy.yml")
        marker = f"{DIRECTORY}/releases/under-way.json"
        deadline = time.monotonic() + 120
        while not host.file(marker).exists:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(3)
        host.check_output("systemctl kill --signal KILL 'cleaning-service-release-*'")
        process.communicate(timeout=120)
        assert process.returncode != 0
        assert host.file(marker).exists
        code, said = wanted.play("playbooks/deploy.yml")
        assert code == 0, said
    assert not host.file(marker).exists
    assert inspect(host, API)["Config"]["Image"] == inspect(host, API_2)["Config"]["Image"]
