"""The server is gone, with its disk: a bare one takes its place, with inventory, vault password and the far side."""

import json
import os
import shlex
import subprocess
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from backups import PROGRAM, DatedWriter, answers, listed
from checkout import Checkout
from converged import API, HOST, ROOT, address, wait_until
from ledger import CLIENT, PASSWORD, READ
from testinfra.host import Host

RATE = 40.0  # writes a second
BEFORE, AFTER = 20.0, 4.0  # seconds of writing before and after the last backup begins
ADMIN = {"email": "admin@example.com", "password": PASSWORD}
# A write is committed a moment before its client learns of it.
ON_ITS_WAY = 3.0  # seconds


def make_bare_host() -> None:
    """Make the host anew, from the image that it was made of."""
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    subprocess.run(
        ["ansible-playbook", "--inventory", str(inventory), str(ROOT / "molecule/shared/create.yml")],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )


def refresh(world: httpx.Client, token: str) -> httpx.Response:
    """Ask for a new pair of tokens."""
    return world.post("/api/v1/auth/refresh", json={"refresh_token": token})


@pytest.mark.timeout(900)
def test_a_lost_server_is_brought_back(host: Host, world: httpx.Client, checkout: Checkout) -> None:
    session = world.post("/api/v1/auth/login", json=CLIENT).json()
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
    rebuilding = time.monotonic()
    code, said = checkout.play("playbooks/restore.yml")
    assert code == 0, said
    wait_until(lambda: answers(host), 60, "both replicas healthy")
    took = time.monotonic() - rebuilding
    print(f"\na bare host is made in {bare - began:.0f} s, and answers {took:.0f} s later")

    run = host.check_output(f"docker exec {API} /srv/venv/bin/python -c {shlex.quote(READ)} {writer.name}")
    found = json.loads(run)
    there = Counter([*found["users"], *found["bookings"]])
    lost = {name: at for name, at in writer.at.items() if name not in there}
    earlier = {name: at for name, at in lost.items() if at <= moment}
    late = [at - moment for at in lost.values()]
    span = f", acknowledged {min(late):.1f} to {max(late):.1f} s after it" if late else ""
    last = max(writer.at.values()) - moment
    print(f"{len(writer.at)} writes acknowledged, the last {last:.1f} s after the backup; {len(lost)} lost{span}")
    assert found["integrity"] == "ok"
    assert not earlier, f"acknowledged before the moment of the backup: {earlier}"
    assert lost, "all writes after the backup are there: this proves nothing"
    assert max(there.values()) == 1
    assert sum(at <= moment for at in writer.at.values()) > RATE * BEFORE / 2
    assert max(writer.at.values()) <= killed + ON_ITS_WAY

    with httpx.Client(base_url=f"http://{address()}", timeout=40, trust_env=False) as after:
        assert after.post("/api/v1/auth/login", json=CLIENT).status_code == httpx.codes.OK
        assert after.post("/api/v1/auth/login", json=ADMIN).status_code == httpx.codes.OK
        assert refresh(after, session["refresh_token"]).status_code == httpx.codes.OK
        me = after.get("/api/v1/users/me", headers={"Authorization": f"Bearer {session['access_token']}"})
        assert me.status_code == httpx.codes.OK
        wait_until(
            lambda: {each["name"] for each in after.get("/status.json").json()["backups"]} == {"local", "remote"},
            60,
            "the backups on the status page",
        )
    host.check_output(f"{PROGRAM} run")
    assert len(listed(host, "local")) == 1


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_playbook_finds_nothing_to_do(checkout: Checkout) -> None:
    code, said = checkout.play("site.yml")
    assert code == 0, said
    assert f"{HOST} " in said
    assert " changed=0 " in said.split("PLAY RECAP")[-1], said
