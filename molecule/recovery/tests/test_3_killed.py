"""Backups, drills and restores that are killed in the middle."""

import os
import time

import httpx
import pytest
from backups import MAINTAIN, PROGRAM, RUN, SET_ASIDE, UNDER_WAY, DatedWriter, Killed, answers, repository
from converged import DIRECTORY, address, new_user, wait_until
from ledger import balance
from testinfra.host import Host

LONG = bool(os.environ.get("LONG"))
RESTORES = 20 if LONG else 2
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
def test_a_killed_restore_leaves_a_service(host: Host, world: httpx.Client, killed: Killed) -> None:
    """By SIGKILL at a random moment: the API answers with the data of before or of the backup, whole."""
    writer = DatedWriter(f"http://{address()}", rate=20)
    assert writer.knows_client()
    writer.prepare()
    writer.start()
    time.sleep(5)
    writer.close()
    host.check_output(f"{PROGRAM} run")  # all of the ledger is in it
    whole = seconds(host, f"{PROGRAM} restore")
    for _ in range(RESTORES):
        later = new_user()
        assert world.post("/api/v1/auth/register", json=later).status_code == httpx.codes.CREATED
        moment, exchanging = killed.restore(whole)
        assert not host.file(UNDER_WAY).exists
        back = wait_until(lambda: answers(host), 60, "the API in service after the restore was killed")
        login = world.post("/api/v1/auth/login", json={key: later[key] for key in ("email", "password")})
        print(
            f"\nkilled {moment:.1f} s after it began (of {whole:.1f} s{', at the exchange' if exchanging else ''}): "
            f"serves after {back:.1f} s with the data of {'before' if login.status_code == 200 else 'the backup'}"
        )
        assert login.status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED), login.text
        if exchanging:
            assert login.status_code == httpx.codes.OK, "an exchange that was not done was not taken back"
        assert world.post("/api/v1/auth/register", json=new_user()).status_code == httpx.codes.CREATED
        found = balance(host, writer)
        assert found.holds, found
        assert host.run(f"ls {DIRECTORY}/data/.*.restored").rc != 0, "half a database was left"
    host.check_output(f"{PROGRAM} restore")
    assert balance(host, writer).holds
    assert host.file(SET_ASIDE).exists


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
            for name in ("local", "remote"):
                found = repository(host, name)
                assert (found["failure"], found["check_failure"]) == ("", "")
    assert "cleaning_service_rehearsal" not in host.check_output("docker ps --all --format '{{.Names}}'")
