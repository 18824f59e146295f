"""A backup is taken here and elsewhere, proven by restoring it, and everybody may see how it stands."""

import httpx
import pytest
from backups import MAINTAIN, PROGRAM, RUN, drill, listed, repository
from checkout import Checkout
from converged import DIRECTORY, wait_until
from testinfra.host import Host

SOURCES = ("local", "remote")


def test_a_backup_is_kept_here_and_elsewhere(host: Host) -> None:
    """By the unit of the timer, which may do little on the host."""
    before = {name: len(listed(host, name)) for name in SOURCES}
    host.check_output(f"systemctl start {RUN}")
    for name in SOURCES:
        found = repository(host, name)
        assert len(listed(host, name)) == before[name] + 1
        assert (found["failure"], found["snapshots"]) == ("", before[name] + 1)
        print(f"\n{name}: {found['bytes'] / 1e6:.2f} MB, kept in {found['seconds']} s")


def test_both_are_proven(host: Host, world: httpx.Client) -> None:
    """By the unit of the weekly timer; the monitor and its public page tell of it."""
    host.check_output(f"systemctl start {MAINTAIN}")
    for name in SOURCES:
        assert repository(host, name)["checked"]
        proven = drill(host, name)
        assert (proven["failure"], proven["bookings"]) == ("", drill(host, "local")["bookings"])
        print(f"\n{name}: proven in {proven['seconds']} s")

    def shown() -> bool:
        backups = world.get("/status.json").json()["backups"]
        return [(each["name"], each["health"], bool(each["drill"])) for each in backups] == [
            (name, "ok", True) for name in SOURCES
        ]

    wait_until(shown, 60, "both backups on the status page")
    page = world.get("/status/en").text
    assert "Backups" in page
    assert host.run(f"{PROGRAM} status").rc == 0


@pytest.mark.timeout(120)
def test_the_key_is_known_outside(host: Host, checkout: Checkout) -> None:
    key = host.check_output(f"cat {DIRECTORY}/backup/key").strip()
    code, said = checkout.play("playbooks/backup-key.yml")
    assert code == 0, said
    assert key in said
    assert "backup-key.vault.txt" in said
