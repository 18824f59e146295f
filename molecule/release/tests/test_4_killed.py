"""The operator's ansible-playbook dies in the middle of a release."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from checkout import Checkout
from converged import API, API_2, DIRECTORY, inspect, wait_until
from crowd import AtWork
from testinfra.host import Host

MOMENTS = int(os.environ.get("MOMENTS", "1"))
MARKER = f"{DIRECTORY}/releases/under-way.json"
JOURNAL = f"{DIRECTORY}/releases/releases.jsonl"
LONGEST = 15.0  # seconds that the server is at work on a release of this kind, at least


def releases(host: Host) -> int:
    """How many releases there have been."""
    return int(host.check_output(f"wc -l < {JOURNAL}"))


def kill_all(process: int) -> None:
    """Kill a process and all that it has begun; Ansible's workers have sessions of their own."""
    begun = [line.split() for line in subprocess.check_output(["ps", "-e", "-o", "pid=,ppid="], text=True).splitlines()]
    doomed = [str(process)]
    for parent in doomed:
        doomed += [child for child, of in begun if of == parent]
    for each in doomed:
        with suppress(ProcessLookupError):
            os.kill(int(each), signal.SIGKILL)


@pytest.mark.timeout(300 + 200 * MOMENTS)
def test_the_release_goes_on_without_its_operator(
    host: Host, checkout: Callable[[str], Checkout], crowd: AtWork
) -> None:
    """By SIGKILL, with all its processes, once the server is at work: that goes on, and the next run finds it done."""
    chosen = random.Random(20261125)  # noqa: S311  # reproducible moments
    versions = [checkout("one"), checkout("two")]
    for number, version in enumerate(versions):
        version.set_version(f"5.{number}.0")
    with crowd(f"{MOMENTS} operators killed"):
        for number in range(MOMENTS):
            wanted = versions[number % 2]
            before = releases(host)
            process = wanted.begin("playbooks/deploy.yml")
            wait_until(lambda: host.file(MARKER).exists, 120, "a release under way")
            moment = chosen.uniform(0, LONGEST)
            time.sleep(moment)
            assert host.file(MARKER).exists, "the release was over before its operator was killed"
            kill_all(process.pid)
            process.communicate()
            wait_until(lambda: not host.file(MARKER).exists, 120, "the end of the release")
            last = json.loads(host.check_output(f"tail -n 1 {JOURNAL}"))
            assert (last["outcome"], last["changed"]) == ("done", ["api", "api_2"])
            code, said = wanted.play("playbooks/deploy.yml")
            print(f"killed {moment:.1f} s after the server began; the next run ended with {code}")
            assert code == 0, said
            assert releases(host) == before + 1, "the next run finds nothing to do"
            assert {inspect(host, name)["Config"]["Image"] for name in (API, API_2)} == {last["image"]}


@pytest.mark.long
def test_a_release_that_is_ended_itself_returns(host: Host, checkout: Callable[[str], Checkout], crowd: AtWork) -> None:
    """SIGKILL of the process on the server: the next run finishes what it began."""
    wanted = checkout("three")
    wanted.set_version("6.0.0")
    with crowd("a release killed on the server"):
        process = wanted.begin("playbooks/deploy.yml")
        wait_until(lambda: host.file(MARKER).exists, 120, "a release under way")
        time.sleep(3)
        host.check_output("systemctl kill --signal KILL 'cleaning-service-release-*'")
        process.communicate(timeout=120)
        assert process.returncode != 0
        assert host.file(MARKER).exists
        code, said = wanted.play("playbooks/deploy.yml")
        assert code == 0, said
    assert not host.file(MARKER).exists
    assert inspect(host, API)["Config"]["Image"] == inspect(host, API_2)["Config"]["Image"]
