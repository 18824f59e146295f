"""The server is gone, with its disk: a bare one takes its place, with inventory, vault password and the far side."""

import os
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from backups import PROGRAM, SOURCES, TIMERS, DatedWriter, answers, listed, logs_in, outside, status
from checkout import Checkout
from converged import HOST, ROOT, address, seed, wait_until
from ledger import CLIENT, PASSWORD, balance
from testinfra.host import Host

RATE = 40.0  # writes a second
BEFORE, AFTER = 8.0, 4.0  # seconds of writing before the last backup begins, and after it was taken
LOSS = 1.0  # seconds before its end in which a server's acknowledged writes may be lost with the replica
ADMIN = {"email": "admin@example.com", "password": PASSWORD}


def make_bare_host() -> None:
    """Make the host anew, from the image that it was made of."""
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    subprocess.run(
        ["ansible-playbook", "--inventory", str(inventory), str(ROOT / "molecule/shared/create.yml")],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )


def slowest(said: str) -> str:
    """Return what a playbook says of its slowest tasks."""
    return "".join(f"\n  {line}" for line in said.splitlines() if re.fullmatch(r"\w+ ?:?.* -{5,} [0-9.]+s", line))


def lost(host: Host, writer: DatedWriter) -> dict[str, float]:
    """Return the writes that were acknowledged and are not there, with when they were; none is there twice."""
    found = balance(host, writer)
    assert (found.doubled, found.integrity) == ([], "ok")
    return {name: writer.at[name] for name in found.lost}


def assert_people_stay(session: dict[str, str]) -> None:
    """See that all who could sign in can, and that who was signed in is."""
    with outside() as world:
        assert logs_in(world, CLIENT)
        assert logs_in(world, ADMIN)
        refreshed = world.post("/api/v1/auth/refresh", json={"refresh_token": session["refresh_token"]})
        assert refreshed.status_code == httpx.codes.OK
        me = world.get("/api/v1/users/me", headers={"Authorization": f"Bearer {session['access_token']}"})
        assert me.status_code == httpx.codes.OK


@pytest.mark.timeout(900)
def test_a_lost_server_is_brought_back(host: Host, checkout: Checkout) -> None:
    """From the replica all but the last second; from the history all until the last backup."""
    with outside() as world:
        session = world.post("/api/v1/auth/login", json=CLIENT).json()
    wait_until(lambda: status(host)["replica"].get("failure") == "", 60, "a replica that is not behind")
    writer = DatedWriter(f"http://{address()}", rate=RATE)
    assert writer.knows_client()
    writer.prepare()
    writer.start()
    time.sleep(BEFORE)
    host.check_output(f"{PROGRAM} run")
    moment = listed(host, "remote")[-1]["moment"]
    time.sleep(AFTER)
    killed = time.time()
    subprocess.run(["docker", "kill", "--signal", "KILL", HOST], check=True, capture_output=True)
    subprocess.run(["docker", "rm", "--volumes", "--force", HOST], check=True, capture_output=True)
    began = time.monotonic()
    make_bare_host()
    bare = time.monotonic()
    writer.close()  # a bare host refuses what is still under way
    end = max(killed, *writer.at.values())

    rebuilding = time.monotonic()
    code, said = checkout.play("playbooks/restore.yml")
    assert code == 0, said
    wait_until(lambda: answers(host), 60, "both replicas healthy")
    host.check_output(f"systemctl stop {TIMERS}")
    took = time.monotonic() - rebuilding
    print(f"\na bare host is made in {bare - began:.0f} s, and answers {took:.0f} s later{slowest(said)}")
    assert "fetching the replica" in said
    assert "not good" not in said
    missing = lost(host, writer)
    seconds = end - min(missing.values(), default=end)
    print(f"{len(writer.at)} writes acknowledged; from the replica: {len(missing)} lost, of the last {seconds:.2f} s")
    assert seconds <= LOSS
    assert sum(at <= moment for at in writer.at.values()) > RATE * BEFORE / 2
    assert sum(at > moment for at in writer.at.values()) > RATE * AFTER / 2
    assert_people_stay(session)

    host.check_output(f"{PROGRAM} restore --from remote")
    missing = lost(host, writer)
    assert missing, "all writes after the backup are there: this proves nothing"
    print(
        f"from the history: {len(missing)} lost, acknowledged {min(missing.values()) - moment:.1f} to "
        f"{max(missing.values()) - moment:.1f} s after its moment"
    )
    assert min(missing.values()) > moment, "acknowledged before the moment of the backup"
    assert_people_stay(session)
    assert "unchanged" in seed(host)

    host.check_output(f"{PROGRAM} run")
    assert len(listed(host, "local")) == 1
    with outside() as world:
        wait_until(
            lambda: (
                {each["name"]: each["health"] for each in world.get("/status.json").json()["backups"]}
                == dict.fromkeys(SOURCES, "ok")
            ),
            60,
            "the backups on the status page",
        )
    host.check_output(f"systemctl start {TIMERS}")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_playbook_finds_nothing_to_do(checkout: Checkout) -> None:
    code, said = checkout.play("site.yml")
    assert code == 0, said
    assert f"{HOST} " in said
    assert " changed=0 " in said.split("PLAY RECAP")[-1], said
