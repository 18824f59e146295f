"""The key of the repositories: changed everywhere, or nowhere."""

import shutil
import stat
from pathlib import Path

import pytest
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.keys import SHORTEST, change_key

from tests import disk
from tests.backup.conftest import Site
from tests.backup.fastkeys import KEY, OTHER_KEY


def test_the_first_key_is_kept_for_root_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.place.key_file.unlink()
    with monkeypatch.context() as patch:
        steps = disk.watch(patch)
        assert change_key(KEY, site.place, site.history)
    assert {step.mode for step in disk.moved(steps)} == {0o600}
    assert site.place.key_file.read_text() == f"{KEY}\n"
    assert stat.S_IMODE(site.place.key_file.stat().st_mode) == 0o600
    assert not change_key(KEY, site.place, site.history)
    assert site.history.make() == ["local"]


def test_a_repository_opens_with_the_new_key_and_with_the_one_of_before(site: Site) -> None:
    site.history.make()
    assert change_key(OTHER_KEY, site.place, site.history)
    assert site.place.key_file.read_text() == f"{OTHER_KEY}\n"
    identity = site.repository().identity()
    assert identity == site.status()["identity"]
    old = site.top / "old"
    old.write_text(KEY)
    assert site.repository().with_key(old).identity() == identity
    keys = list((site.top / "local" / "keys").iterdir())
    assert change_key(KEY, site.place, site.history)
    assert list((site.top / "local" / "keys").iterdir()) == keys, "it opens the repository already"


@pytest.mark.parametrize("key", ["", "x" * (SHORTEST - 1), "x" * SHORTEST + "\nsecond line"])
def test_a_key_that_is_none_is_refused(site: Site, key: str) -> None:
    with pytest.raises(BackupError, match="a key has at least 20 printable characters"):
        change_key(key, site.place, site.history)
    assert site.place.key_file.read_text() == f"{KEY}\n"


def test_where_a_repository_cannot_be_reached_nothing_changes(site: Site, tmp_path: Path) -> None:
    site.only("local", "remote")
    site.history.make()
    shutil.move(tmp_path / "remote", tmp_path / "away")
    with pytest.raises(BackupError, match="the remote repository: unable to open config file"):
        change_key(OTHER_KEY, site.place, site.history)
    assert site.place.key_file.read_text() == f"{KEY}\n"
    assert site.repository("local").opens()
    assert [path.name for path in site.place.top.iterdir() if OTHER_KEY.encode() in path.read_bytes()] == []
