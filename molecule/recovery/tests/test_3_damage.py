"""Damage to the repository here and to the database, what proves that all is well again, and a disk without room."""

import time
from collections.abc import Iterator

import httpx
import pytest
from backups import (
    DATABASE,
    GARBAGE,
    LOCAL_FILES,
    MAINTAIN,
    PROGRAM,
    REPOSITORIES,
    SET_ASIDE,
    SOURCES,
    Kept,
    drill,
    listed,
    logs_in,
    repository,
    set_aside,
)
from converged import DIRECTORY, wait_until
from ledger import balance
from testinfra.host import Host
from webhook import Receiver

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


def told(receiver: Receiver, kind: str) -> list[str]:
    """The causes in the messages of a kind about the backups."""
    messages = list(receiver.messages)
    return [str(each.body["cause"]) for each in messages if each.kind == kind and each.body["component"] == "backup"]


def test_a_flipped_bit_is_found_and_told(host: Host, world: httpx.Client, kept: Kept, receiver: Receiver) -> None:
    """In each pack of the repository here: check and drill fail, and the monitor tells.

    When the database is damaged too, a restore takes the other repository's backup. What was there is set aside.
    """
    before = set_aside(host)
    host.check_output(f"rm -rf {KEPT} && cp --archive {LOCAL_FILES} {KEPT}")
    try:
        host.check_output(f"python3 -c '{FLIP}' {LOCAL_FILES}")
        assert host.run(f"systemctl start {MAINTAIN}").rc != 0
        host.run(f"systemctl reset-failed {MAINTAIN}")
        print(f"\nchecked: {repository(host, 'local')['check_failure']}\nproven: {drill(host, 'local')['failure']}")
        assert repository(host, "local")["check_failure"].startswith("the local repository: ")
        assert repository(host, "remote")["check_failure"] == ""
        assert drill(host, "local")["failure"]
        assert drill(host, "remote")["failure"] == drill(host, "replica")["failure"] == ""
        assert host.run(f"{PROGRAM} status").rc == 1
        causes = ("the check of the local repository failed", "the drill of the local backup failed")
        wait_until(
            lambda: any(all(cause in each for cause in causes) for each in told(receiver, "problem")), 90, "an alert"
        )
        shown = {each["name"]: each["health"] for each in world.get("/status.json").json()["backups"]}
        assert shown == {"local": "degraded", "remote": "ok", "replica": "ok"}
        host.check_output(GARBAGE)
        began = time.monotonic()
        restored = host.run(f"{PROGRAM} restore --from history")
        assert restored.rc == 0, restored
        assert "not good: the local repository: " in restored.stdout
        print(f"restored in {time.monotonic() - began:.1f} s")
    finally:
        host.check_output(f"rm -rf {LOCAL_FILES} && mv {KEPT} {LOCAL_FILES}")
    assert logs_in(world, kept.person)
    assert balance(host, kept.writer).holds
    (aside,) = set_aside(host) - before
    assert host.file(f"{SET_ASIDE}/{aside}/cleaning_service_stable.db").exists


def test_all_are_proven(host: Host, world: httpx.Client, receiver: Receiver) -> None:
    """By the unit of the weekly timer; the monitor and its public page tell of it, also that the damage is mended."""
    host.check_output(f"systemctl start {MAINTAIN}")
    for name in REPOSITORIES:
        found = repository(host, name)
        assert found["checked"]
        assert found["check_failure"] == ""
    for name in SOURCES:
        proven = drill(host, name)
        assert (proven["failure"], proven["bookings"]) == ("", drill(host, "local")["bookings"])
        print(f"\n{name}: proven in {proven['seconds']} s")

    def shown() -> bool:
        backups = world.get("/status.json").json()["backups"]
        return [(each["name"], each["health"], bool(each["drill"])) for each in backups] == [
            (name, "ok", True) for name in SOURCES
        ]

    wait_until(shown, 60, "all backups on the status page")
    page = world.get("/status/en").text
    assert "Backups" in page
    assert host.run(f"{PROGRAM} status").rc == 0
    if told(receiver, "problem"):
        wait_until(lambda: bool(told(receiver, "resolved")), 120, "the end of the incident")


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
