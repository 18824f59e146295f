"""What an operator restores: a database that was damaged or removed, one of an earlier moment, one during a release."""

import json
import time
from typing import Any

import httpx
import pytest
from backups import DATABASE, GARBAGE, PROGRAM, SET_ASIDE, listed, logs_in, register, set_aside
from checkout import Checkout
from converged import DIRECTORY, all_healthy, wait_until
from testinfra.host import Host

MARKER = f"{DIRECTORY}/releases/under-way.json"
JOURNAL = f"{DIRECTORY}/releases/releases.jsonl"
DAMAGES = {
    "garbage": GARBAGE,
    "cut off": f"truncate --size 20000 {DATABASE}",
    "removed": f"rm {DATABASE} {DATABASE}-wal {DATABASE}-shm",
}


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_database_is_replaced(host: Host, world: httpx.Client, damage: str) -> None:
    """While the API runs; what was there is set aside, and nothing is deleted."""
    person = register(world)
    host.check_output(f"{PROGRAM} run")
    before = set_aside(host)
    host.check_output(DAMAGES[damage])
    began = time.monotonic()
    host.check_output(f"{PROGRAM} restore")
    print(f"\nrestored in {time.monotonic() - began:.1f} s")
    assert logs_in(world, person)
    register(world)
    if damage != "removed":
        (kept,) = set_aside(host) - before
        assert host.file(f"{SET_ASIDE}/{kept}/cleaning_service_stable.db").exists


@pytest.mark.long
def test_an_earlier_moment_and_back(host: Host, world: httpx.Client) -> None:
    first = register(world)
    host.check_output(f"{PROGRAM} run")
    time.sleep(1.1)  # a moment is given to the second
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    second = register(world)
    host.check_output(f"{PROGRAM} run")
    newest = listed(host, "local")[-1]["id"]
    host.check_output(f"{PROGRAM} restore --at '{moment}'")
    assert (logs_in(world, first), logs_in(world, second)) == (True, False)
    host.check_output(f"{PROGRAM} restore --snapshot {newest}")
    assert (logs_in(world, first), logs_in(world, second)) == (True, True)


@pytest.mark.timeout(400)
@pytest.mark.long
@pytest.mark.parametrize("first", ["release", "restore"])
def test_a_restore_and_a_release_at_once(host: Host, world: httpx.Client, checkout: Checkout, first: str) -> None:
    """The one that comes second waits; both are done."""
    person = register(world)
    host.check_output(f"{PROGRAM} run")
    lost = register(world)
    process = checkout.begin(
        "playbooks/deploy.yml", "--extra-vars", f"stack_requests_per_minute_per_address={60001 + (first == 'restore')}"
    )
    try:
        if first == "release":
            wait_until(lambda: host.file(MARKER).exists, 120, "a release under way")
            host.check_output(f"{PROGRAM} restore --from history")
        else:
            time.sleep(5)
            host.check_output(f"flock {DIRECTORY}/releases/lock sleep 0")
            host.check_output(f"{PROGRAM} restore --from history")
    finally:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    lines: list[dict[str, Any]] = [json.loads(line) for line in host.check_output(f"tail -n 2 {JOURNAL}").splitlines()]
    assert {each["kind"] for each in lines} == {"release", "restore"}, lines
    assert {each["outcome"] for each in lines} == {"done"}, lines
    wait_until(lambda: all_healthy(host), 120, "every container healthy afterwards")
    assert (logs_in(world, person), logs_in(world, lost)) == (True, False)
