"""Backups, drills and restores that are killed in the middle."""

import os
import time

import httpx
import pytest
from backups import (
    MAINTAIN,
    PROGRAM,
    REPOSITORIES,
    RUN,
    UNDER_WAY,
    Kept,
    Killed,
    answers,
    logs_in,
    register,
    repository,
)
from converged import DIRECTORY, wait_until
from ledger import balance
from testinfra.host import Host

LONG = bool(os.environ.get("LONG"))
RESTORES = 20
RUNS, MAINTENANCES = 20, 20


@pytest.fixture(scope="module")
def killed(host: Host) -> Killed:
    """Kills programs at moments that are the same in each run."""
    return Killed(host)


def seconds(host: Host, command: str) -> float:
    """Run a command; returns how long it took."""
    began = time.monotonic()
    host.check_output(command)
    return time.monotonic() - began


@pytest.mark.timeout(200 + 60 * RESTORES)
def test_a_killed_restore_leaves_a_service(host: Host, world: httpx.Client, kept: Kept, killed: Killed) -> None:
    """By SIGKILL while the database is exchanged, and at random moments: the API answers with all of one of the two.

    That the next restore works is seen in test_3_damage.py.
    """
    within = [seconds(host, f"{PROGRAM} restore --from history")] * RESTORES if LONG else []
    for each in (None, *within):
        later = register(world)
        moment, exchanging = killed.restore(each)
        assert not host.file(UNDER_WAY).exists
        back = wait_until(lambda: answers(host), 60, "the API in service after the restore was killed")
        of_before = logs_in(world, later)
        print(
            f"\nkilled {moment:.1f} s after it began{', at the exchange' if exchanging else ''}: serves after "
            f"{back:.1f} s with the data of {'before' if of_before else 'the backup'}"
        )
        assert exchanging or each, "the exchange was over before it was killed"
        assert of_before or not exchanging, "an exchange that was not done was not taken back"
        register(world)
        found = balance(host, kept.writer)
        assert found.holds, found
        assert host.run(f"ls {DIRECTORY}/data/.*.restored").rc != 0, "half a database was left"


@pytest.mark.long
@pytest.mark.timeout(200 + 60 * (RUNS + MAINTENANCES))
def test_the_next_one_works_after_a_killed_one(host: Host, killed: Killed) -> None:
    """A backup, and what tidies up, checks and drills, killed with all that they have begun."""
    for unit, times in ((RUN, RUNS), (MAINTAIN, MAINTENANCES)):
        whole = seconds(host, f"systemctl start {unit}")
        for _ in range(times):
            moment = killed.service(unit, whole)
            took = seconds(host, f"systemctl start {unit}")
            print(f"\n{unit} killed after {moment:.1f} s of {whole:.1f} s; the next one took {took:.1f} s")
            for name in REPOSITORIES:
                found = repository(host, name)
                assert (found["failure"], found["check_failure"]) == ("", "")
    assert "cleaning_service_rehearsal" not in host.check_output("docker ps --all --format '{{.Names}}'")
