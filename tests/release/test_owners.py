"""Correcting the owners and modes of the containers' data."""

import os
from pathlib import Path

import pytest
from cleaning_service_release import owners
from cleaning_service_release.layout import Layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
UID = 12345


@pytest.fixture
def service(layout: Layout) -> Layout:
    """A service whose containers run as UID, with a database."""
    layout.compose_file.write_text(f'x-hardened: &hardened\n  user: "{UID}:{UID}"\n')
    owners.mend(layout)
    layout.database.touch(mode=0o640)
    owners.mend(layout)
    return layout


def owner(path: Path) -> tuple[int, int, int]:
    """Return owner, group and mode."""
    found = path.lstat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def test_second_run_changes_nothing(service: Layout) -> None:
    assert owners.mend(service) == []
    for place in owners.OWNED_DIRECTORIES:
        assert owner(service.directory / place)[:2] == (UID, UID)


def test_only_wrong_owners_and_modes_are_corrected(service: Layout) -> None:
    copied, closed = service.database, service.directory / "redis" / "data" / "appendonly.aof"
    os.chown(copied, 0, 0)
    copied.chmod(0o600)
    closed.touch(mode=0o400)
    os.chown(closed, UID, UID)
    right = service.directory / "logs" / "api.log"
    right.touch(mode=0o600)
    os.chown(right, UID, UID)
    wanted = [f"{copied} was 0:0 0600", f"{closed} was {UID}:{UID} 0400"]
    assert owners.mend(service, check=True) == wanted
    assert owner(copied) == (0, 0, 0o600)
    assert owners.mend(service) == wanted
    assert (owner(copied), owner(closed)) == ((UID, UID, 0o600), (UID, UID, 0o600))
    assert owners.mend(service) == []


def test_missing_directory_is_created(service: Layout) -> None:
    data = service.directory / "redis" / "data"
    data.rmdir()
    data.parent.rmdir() if not list(data.parent.iterdir()) else None
    assert owners.mend(service) == [f"{data} was missing", f"{data} was 0:0 0750"]
    assert owner(data) == (UID, UID, 0o750)


def test_links_are_not_followed(service: Layout, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link made by a container must not give it access to a file of the host."""
    outside = tmp_path_factory.mktemp("outside") / "shadow"
    outside.touch(mode=0o600)
    for name, target in (("file", outside), ("directory", outside.parent)):
        (service.directory / "data" / name).symlink_to(target)
    owners.mend(service)
    assert owner(outside) == (0, 0, 0o600)
    assert owner(outside.parent)[:2] == (0, 0)
    assert owner(service.directory / "data" / "file")[:2] == (UID, UID)


def test_data_directory_may_be_a_link_to_another_disk(
    service: Layout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk, data = tmp_path_factory.mktemp("disk"), service.directory / "logs"
    data.rmdir()
    data.symlink_to(disk)
    (disk / "api.log").touch()
    owners.mend(service)
    assert owner(disk / "api.log")[:2] == (UID, UID)
