"""A backup is taken here and elsewhere, and its key is known outside the server."""

import pytest
from backups import Kept, all_listed, repository
from checkout import Checkout
from converged import DIRECTORY
from testinfra.host import Host


def test_a_backup_is_kept_here_and_elsewhere(host: Host, kept: Kept) -> None:
    """By the unit of the timer, which may do little on the host."""
    for name, backups in all_listed(host).items():
        found = repository(host, name)
        assert len(backups) == kept.before[name] + 1
        assert (found["failure"], found["snapshots"]) == ("", len(backups))
        print(f"\n{name}: {found['bytes'] / 1e6:.2f} MB, kept in {found['seconds']} s")


@pytest.mark.timeout(120)
def test_the_key_is_known_outside(host: Host, checkout: Checkout) -> None:
    key = host.check_output(f"cat {DIRECTORY}/backup/key").strip()
    code, said = checkout.play("playbooks/backup-key.yml")
    assert code == 0, said
    assert key in said
    assert "backup-key.vault.txt" in said
