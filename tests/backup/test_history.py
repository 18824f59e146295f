"""Taking a backup: what is in it, and that whatever goes wrong is told and leaves nothing behind."""

import json
import re
import shutil
import stat
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from cleaning_service_backup.cli import main
from cleaning_service_backup.errors import BackupError, BusyError
from cleaning_service_backup.history import WARNING
from cleaning_service_release.journal import Entry, Journal

from tests import disk
from tests.backup.conftest import TOKEN, Site, flip, packs
from tests.backup.database import accounts, register

_Usage = namedtuple("_Usage", ["total", "used", "free"])  # noqa: PYI024


def test_a_backup_holds_what_a_bare_server_needs(site: Site, tmp_path: Path) -> None:
    shutil.chown(site.settings.directory / "proxy" / "data" / "certificate", 1000, 1001)
    (site.settings.directory / "releases" / "lock").touch()
    assert site.history.run() == []
    (backup,) = site.repository().backups()
    target = tmp_path / "restored"
    site.repository().fetch(backup, target)
    assert accounts(target / "cleaning_service_stable.db") == 4
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["rows"]["user_account"] == 4
    assert manifest["moment"] == pytest.approx(backup.moment, abs=0.001)
    assert manifest["bytes"] == (target / "cleaning_service_stable.db").stat().st_size
    assert (manifest["image"], manifest["host"]) == ("cleaning-service/api:1", "host")
    secret = target / "server" / ".env"
    assert secret.read_text() == f"CANARY_TOKEN={TOKEN}\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert (target / "server" / "releases" / "releases.jsonl").exists()
    assert not (target / "server" / "releases" / "lock").exists()
    certificate = target / "server" / "proxy" / "data" / "certificate"
    assert (certificate.stat().st_uid, certificate.stat().st_gid) == (1000, 1001)
    assert not site.place.staging.exists()
    status = site.status()
    assert (status["snapshots"], status["failure"], status["at"]) == (1, "", manifest["moment"])
    assert status["bytes"] > 0


def test_without_room_nothing_is_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10**9, 10**9, 1_000_000))
    with pytest.raises(BackupError, match=r"a copy of the database needs 0 MB .* 1 MB are free: make room"):
        site.history.run()
    assert "make room" in site.status()["failure"]
    assert site.status()["failed_at"]
    assert not site.place.staging.exists()
    assert site.repository().backups() == []


def test_a_damaged_database_is_no_backup(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with site.database.open("r+b") as file:
        file.seek(2 * 4096 + 8)
        file.write(b"\xff" * 3000)
    site.write_settings()
    assert main(["--directory", str(site.settings.directory), "run"]) == 1
    assert "malformed" in capsys.readouterr().err
    assert "malformed" in site.status()["failure"]
    assert (site.status()["at"], site.status()["snapshots"]) == (None, 0)
    assert site.repository().backups() == []
    assert not site.place.staging.exists()


def test_one_repository_that_fails_does_not_keep_the_other_from_its_backup(site: Site, tmp_path: Path) -> None:
    site.only("local", "remote")
    assert site.history.run() == []
    (tmp_path / "local").rename(tmp_path / "away")
    (failure,) = site.history.run()
    assert failure.startswith("the local repository: unable to open config file")
    assert site.status("local")["failure"] == failure
    assert site.status("local")["snapshots"] == 1
    assert (site.status("remote")["failure"], site.status("remote")["snapshots"]) == ("", 2)
    assert not (tmp_path / "local").exists(), "none is made in the place of one that has been there"
    (tmp_path / "away").rename(tmp_path / "local")
    assert site.history.run() == []
    assert (site.status("local")["failure"], site.status("local")["failed_at"]) == ("", None)


def test_an_error_of_the_system_at_one_repository_stays_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.only("local", "remote")
    needed = site.place.require_room

    def require_room(directory: Path, size: float, what: str) -> None:
        if "local repository" in what:
            raise OSError(5, "Input/output error", str(directory))
        needed(directory, size, what)

    monkeypatch.setattr(site.place, "require_room", require_room)
    assert len(site.history.run()) == 1
    assert "Input/output error" in site.status("local")["failure"]
    assert (site.status("remote")["failure"], site.status("remote")["snapshots"]) == ("", 1)


def test_another_repository_is_refused_until_it_is_adopted(site: Site, tmp_path: Path, other_repository: Path) -> None:
    site.history.make()
    config = site.status()["identity"]
    shutil.rmtree(tmp_path / "local")
    shutil.copytree(other_repository, tmp_path / "local")
    with pytest.raises(BackupError, match=r"another one than it was: .* `cleaning-service-backup adopt local`"):
        site.history.make()
    assert "is another one" in site.history.run()[0]
    assert site.repository().backups() == []
    site.history.adopt("local")
    assert site.status()["identity"] != config
    assert site.history.run() == []
    with pytest.raises(BackupError, match="there is no repository remote: there are local"):
        site.history.adopt("remote")


def test_made_once(site: Site) -> None:
    site.only("local", "remote")
    assert site.history.make() == ["local", "remote"]
    assert site.history.make() == []


def test_a_server_that_begins_empty_beside_its_backups_is_warned_about(site: Site) -> None:
    site.history.make()
    assert site.history.run() == []
    (backup,) = site.repository().backups()
    site.place.status.unlink()  # the server is gone
    site.said.clear()
    assert site.history.make() == ["local"]
    (warning,) = site.said
    assert warning.startswith(f"{WARNING} the local repository holds 1 backups of host, the last of 2")
    assert f"playbooks/restore.yml -e snapshot={backup.id}" in warning
    assert site.history.make() == []


def test_a_server_that_was_restored_is_not_warned_about(site: Site) -> None:
    site.history.make()
    assert site.history.run() == []
    site.place.status.unlink()
    site.said.clear()
    entry = Entry("20261125T090000Z", "release", "done", "ann", "cleaning-service/api:1", "", [], 12.0)
    Journal(site.place.layout).write(entry)
    assert site.history.make() == ["local"]
    assert site.said == []


def test_two_at_once_wait_for_each_other(site: Site) -> None:
    held, done = threading.Event(), threading.Event()

    def drill() -> None:
        with site.place.locked("drill", site.said.append):
            held.set()
            done.wait(10)

    other = threading.Thread(target=drill)
    other.start()
    held.wait(10)
    message = r"a drill \(process \d+\) is under way and has not ended within 0.1 s"
    with pytest.raises(BusyError, match=message), site.place.locked("backup", site.said.append, patience=0.1):
        pass
    assert site.said[0].startswith("waiting for a drill (process ")
    threading.Timer(0.2, done.set).start()
    with site.place.locked("backup", site.said.append, patience=10):
        assert done.is_set()
    other.join()


def test_the_check_finds_a_flipped_byte(site: Site, tmp_path: Path) -> None:
    site.history.run()
    assert site.history.maintain() == []
    assert site.status()["checked"]
    checked = site.status()["checked"]
    flip(max(packs(tmp_path / "local"), key=lambda path: path.stat().st_size))
    assert site.history.maintain()[0].startswith("the local repository: ")
    assert re.search(r"[Pp]ack.* does not match", site.status()["check_failure"])
    assert site.status()["checked"] == checked
    assert site.status()["failure"] == "", "the backup itself was taken"


def test_export_writes_a_checked_database(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "copy.db"
    with monkeypatch.context() as patch:
        steps = disk.watch(patch)
        size = site.history.export(target)
    assert disk.moved([step for step in steps if step.inode == target.stat().st_ino][-2:])
    assert size == target.stat().st_size
    assert accounts(target) == 4
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    register(target)
    before = target.read_bytes()
    with pytest.raises(BackupError, match="exists already"):
        site.history.export(target)
    assert target.read_bytes() == before
    with pytest.raises(BackupError, match="is no directory"):
        site.history.export(tmp_path / "nowhere" / "copy.db")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert not site.place.staging.exists()
