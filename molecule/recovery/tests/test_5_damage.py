"""Damage to the repository on the server, and a disk without room for it."""

from collections.abc import Iterator

import httpx
import pytest
from backups import DATABASE, LOCAL_FILES, MAINTAIN, PROGRAM, drill, listed, repository
from converged import DIRECTORY, wait_until
from testinfra.host import Host
from webhook import Message, Receiver

KEPT = f"{LOCAL_FILES}.kept"
FLIP = r"""
import pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("data/*/*"):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
"""
SMALL = "48m"  # of the small disk; it is memory, so nothing but itself can be filled
BALLAST = f"{LOCAL_FILES}/ballast"
SETTINGS = f"{DIRECTORY}/backup.json"


def told(receiver: Receiver, kind: str, since: int) -> list[Message]:
    """The messages of a kind about the backups, of those that came since there were so many."""
    messages = list(receiver.messages)[since:]
    return [each for each in messages if each.kind == kind and each.body["component"] == "backup"]


def test_a_flipped_bit_is_found_and_told(host: Host, world: httpx.Client, receiver: Receiver) -> None:
    """In each pack of the repository here: check and drill fail, the monitor tells, a restore takes the other one."""
    host.check_output(f"{PROGRAM} run")
    since = len(receiver.messages)
    host.check_output(f"rm -rf {KEPT} && cp --archive {LOCAL_FILES} {KEPT}")
    try:
        host.check_output(f"python3 -c '{FLIP}' {LOCAL_FILES}")
        assert host.run(f"systemctl start {MAINTAIN}").rc != 0
        host.run(f"systemctl reset-failed {MAINTAIN}")
        print(f"\nchecked: {repository(host, 'local')['check_failure']}\nproven: {drill(host, 'local')['failure']}")
        assert repository(host, "local")["check_failure"].startswith("the local repository: ")
        assert repository(host, "remote")["check_failure"] == drill(host, "remote")["failure"] == ""
        assert drill(host, "local")["failure"]
        assert host.run(f"{PROGRAM} status").rc == 1
        wait_until(lambda: bool(told(receiver, "problem", since)), 90, "an alert")
        cause = told(receiver, "problem", since)[0].body["cause"]
        assert "the check of the local repository failed" in cause
        assert "the drill of the local backup failed" in cause
        shown = {each["name"]: each["health"] for each in world.get("/status.json").json()["backups"]}
        assert shown == {"local": "degraded", "remote": "ok"}
        restored = host.run(f"{PROGRAM} restore")
        assert restored.rc == 0, restored
        assert "not good: the local repository" in restored.stdout
    finally:
        host.check_output(f"rm -rf {LOCAL_FILES} && mv {KEPT} {LOCAL_FILES}")
    host.check_output(f"systemctl start {MAINTAIN}")
    assert repository(host, "local")["check_failure"] == drill(host, "local")["failure"] == ""
    wait_until(lambda: bool(told(receiver, "resolved", since)), 120, "the end of the incident")


@pytest.fixture
def small_disk(host: Host) -> Iterator[None]:
    """The repository here on a small disk of its own, and nothing that has to be left free on it."""
    host.check_output(
        f'cp --archive {SETTINGS} {SETTINGS}.kept && sed -i \'s/"reserve_mb": [0-9]*/"reserve_mb": 0/\' {SETTINGS}'
        f" && cp --archive {LOCAL_FILES} {KEPT} && mount -t tmpfs -o size={SMALL},mode=700 tmpfs {LOCAL_FILES}"
        f" && cp --archive {KEPT}/. {LOCAL_FILES}/ && rm -r {KEPT}"
    )
    yield
    host.check_output(f"umount {LOCAL_FILES} && mv {SETTINGS}.kept {SETTINGS}")
    host.check_output(f"{PROGRAM} run")


@pytest.mark.long
@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("when", ["before", "in the middle"])
def test_no_room_for_a_backup(host: Host, when: str) -> None:
    """The run says so, the other repository has it, nothing half done is left; with room all is as before."""
    here, there = listed(host, "local"), listed(host, "remote")
    fill = f"cat /dev/zero > {BALLAST}"
    if when == "before":
        host.run(fill)
        run = host.run(f"{PROGRAM} run")
    else:
        watch = f"until ls {LOCAL_FILES}/locks/* >/dev/null 2>&1; do :; done; {fill}"
        run = host.run(f"(timeout 60 sh -c '{watch}') >/dev/null 2>&1 & {PROGRAM} run; code=$?; wait; exit $code")
    failure = repository(host, "local")["failure"]
    print(f"\n{failure}")
    assert run.rc == 1, run
    assert "Traceback" not in run.stderr
    assert failure
    assert repository(host, "remote")["failure"] == ""
    assert len(listed(host, "remote")) == len(there) + 1
    assert host.file(DATABASE).exists
    host.check_output(f"rm {BALLAST}")
    assert listed(host, "local") == here
    host.check_output(f"{PROGRAM} run")
    assert repository(host, "local")["failure"] == ""
    assert listed(host, "local")[-1]["moment"] > here[-1]["moment"]
