"""The replica with the real Litestream: what it restores, and what it says of a far side that lacks something."""

import importlib.util
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from cleaning_service_backup import replica
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.replica import BeginAnewError, Replica
from cleaning_service_backup.settings import parse
from cleaning_service_release.layout import Layout
from pysqlite3 import dbapi2

from tests.backup.conftest import ROOT
from tests.backup.database import accounts, register, rows, sound
from tests.backup.replicated import LITESTREAM, NAME, Host
from tests.backup.test_watch import SETTINGS

CHECK = ROOT / "roles/stack/files/images/replica/check_sqlite.py"


def check_sqlite() -> ModuleType:
    """The check that the image's build makes."""
    spec = importlib.util.spec_from_file_location("check_sqlite", CHECK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_sqlite_may_open_a_live_database() -> None:
    check = check_sqlite()
    assert check.sqlite_version(LITESTREAM) >= check.MINIMUM_VERSION


def test_a_version_with_an_older_sqlite_makes_no_image(tmp_path: Path) -> None:
    old = tmp_path / "litestream"
    # It restores a database whose header says 3.50.4.
    old.write_text('#!/bin/sh\n[ "$1" = replicate ] || printf "%096d\\0\\056\\212\\224" 0 >"$5"\n')
    old.chmod(0o755)
    ended = subprocess.run([sys.executable, CHECK, old], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "includes SQLite 3050132, but needs at least 3051003" in ended.stderr


@pytest.mark.docker
def test_it_restores_the_newest_state_and_earlier_ones_with_nothing_but_the_address(host: Host, tmp_path: Path) -> None:
    for _ in range(3):
        host.register()
    host.settled()
    middle = time.time()
    time.sleep(1.1)  # moments are told in whole seconds
    host.register()
    host.settled()
    host.end()  # the server is gone
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "replica/state")

    moment = host.replica.restore(tmp_path / "newest", time.time())
    assert accounts(tmp_path / "newest") == 4
    assert middle - 1 < moment <= time.time()
    host.replica.restore(tmp_path / "earlier", middle)
    assert accounts(tmp_path / "earlier") == 3
    with pytest.raises(BackupError, match="no matching backup files"):
        host.replica.restore(tmp_path / "too-early", middle - 3600)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.docker
def test_a_restored_database_goes_on_behind_the_history_of_before(host: Host, tmp_path: Path) -> None:
    host.register()
    host.settled()
    earlier = time.time()
    time.sleep(1.1)
    host.register()
    host.settled()
    later = time.time()
    time.sleep(1.1)
    host.end()
    host.replica.restore(tmp_path / "restored", earlier)
    for file in (tmp_path / "data").iterdir():
        file.unlink()
    (tmp_path / "restored").rename(host.database)
    host.start()
    host.register()
    assert host.register() == 3
    host.settled()
    for name, at, count in (("first", earlier, 1), ("second", later, 2), ("third", time.time(), 3)):
        host.replica.restore(tmp_path / name, at)
        assert accounts(tmp_path / name) == count
    host.replica.require_restorable(host.replica.confirm())


@pytest.mark.docker
def test_it_writes_over_nothing(host: Host, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="never writes over a file"):
        host.replica.restore(host.database)
    host.replica.restore(tmp_path / "new")
    assert (tmp_path / "new").stat().st_uid == 10001


@pytest.mark.docker
def test_files_that_are_gone_at_the_far_side_are_missed(host: Host) -> None:
    host.register()
    host.replica.require_restorable(host.settled())
    for gone in ("ltx", "ltx/9"):
        time.sleep(2)  # in its first second Litestream sees for itself whether there is a whole copy
        shutil.rmtree(host.far / gone)
        host.register()
        transaction = host.settled()  # Litestream itself notices nothing
        with pytest.raises(BeginAnewError, match="cannot be restored"):
            host.replica.require_restorable(transaction)
        host.start()
        host.replica.require_restorable(host.settled())


@pytest.mark.docker
def test_one_that_stands_still_does_not_count_as_up_to_date(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "_ANSWER", 1)
    host.docker("pause", host.container)
    with pytest.raises(BeginAnewError, match="does not answer"):
        host.replica.confirm()
    host.docker("unpause", host.container)
    host.settled()


@pytest.mark.docker
def test_the_service_begins_no_log_anew_before_it_was_read(host: Host, tmp_path: Path) -> None:
    """A log that was begun anew too early is one that the replica lacks part of."""
    settings = host.directory / "replica/config/litestream.yml"
    assert "monitor-interval: 400ms" in settings.read_text()
    # So that it reads the log, and takes its lock, only where somebody asks whether all is there.
    settings.write_text(settings.read_text().replace("monitor-interval: 400ms", "monitor-interval: 1h"))
    host.start()
    with closing(dbapi2.connect(host.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout=0")
        for _ in range(3):
            register(host.database, 300)  # twice the pages after which SQLite begins it anew by itself
            host.settled()
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            assert busy, "Litestream holds no lock"
    host.replica.restore(tmp_path / "newest")
    assert sound(tmp_path / "newest")
    assert rows(tmp_path / "newest") == rows(host.database)


@pytest.mark.docker
def test_a_log_that_was_begun_anew_while_litestream_started_is_noticed(host: Host) -> None:
    assert not host.replica.skipped()  # nothing was written since
    host.register()
    host.settled()
    assert not host.replica.skipped()
    host.start(lambda: register(host.database, 300))  # SQLite begins it anew by itself
    host.register()
    host.settled()
    assert host.replica.skipped()
    host.start()
    host.register()
    host.settled()
    assert not host.replica.skipped()


@pytest.mark.docker
def test_a_far_side_that_cannot_be_written_is_told(host: Host) -> None:
    with host.away():
        host.register()
        with pytest.raises(BackupError, match="has not taken the last writes") as raised:
            host.replica.confirm()
    assert not isinstance(raised.value, BeginAnewError)
    host.replica.require_restorable(host.settled())


@pytest.mark.docker
def test_another_file_at_the_path_is_noticed_and_replicated_after_a_restart(host: Host) -> None:
    assert not host.replica.exchanged()
    host.database.rename(host.database.with_name("before"))
    for suffix in ("-wal", "-shm"):
        host.database.with_name(f"{NAME}{suffix}").unlink()
    assert not host.replica.exchanged()  # there is nothing to begin with
    host.create()
    assert host.replica.exchanged()
    assert host.replica.restart()
    host.end()
    assert not host.replica.restart()
    assert host.replica.backlog() > host.replica.backlog(time.time()) == 0


def test_a_service_without_a_replica_has_none(tmp_path: Path) -> None:
    settings = parse({**SETTINGS, "directory": str(tmp_path)})
    with pytest.raises(BackupError, match="backup_replica"):
        Replica(settings, Layout(tmp_path))
