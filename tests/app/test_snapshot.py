"""Snapshots: consistent during writes, and no file after a failure."""

import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from pysqlite3 import dbapi2

from app.snapshot import SnapshotError, snapshot


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database in WAL mode whose two tables always hold the same number of rows."""
    path = tmp_path / "live.db"
    with closing(dbapi2.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE left_half (id INTEGER PRIMARY KEY, filling TEXT)")
        connection.execute("CREATE TABLE right_half (id INTEGER PRIMARY KEY, filling TEXT)")
    return path


def write(database: Path, stop: threading.Event) -> None:
    """Write a row into both tables in each transaction, without a pause."""
    with closing(dbapi2.connect(database, isolation_level=None, timeout=10)) as connection:
        while not stop.is_set():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO left_half (filling) VALUES (hex(randomblob(200)))")
            connection.execute("INSERT INTO right_half (filling) VALUES (hex(randomblob(200)))")
            connection.execute("COMMIT")


@pytest.mark.parametrize("gently", [False, True])
def test_snapshot_during_writes_is_consistent(database: Path, tmp_path: Path, *, gently: bool) -> None:
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(database, stop))
    writer.start()
    try:
        for number in range(10):
            target = tmp_path / "snapshots" / f"{number}.db"
            assert snapshot(database, target, gently=gently).bytes == target.stat().st_size
            with closing(dbapi2.connect(target)) as copy:
                left = copy.execute("SELECT count(*) FROM left_half").fetchone()
                assert left == copy.execute("SELECT count(*) FROM right_half").fetchone()
                assert copy.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    finally:
        stop.set()
        writer.join()
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == [f"{number}.db" for number in range(10)]


def test_damaged_database_gives_no_snapshot(database: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(database, stop))
    writer.start()
    threading.Event().wait(0.5)
    stop.set()
    writer.join()
    with closing(dbapi2.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:
        file.seek(3 * 4096 + 8)
        file.write(b"\xff" * 2000)
    with pytest.raises(SnapshotError):
        snapshot(database, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_snapshot_of_a_missing_database_or_to_an_existing_file_is_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="is missing: put it back"):
        snapshot(tmp_path / "none.db", tmp_path / "copy.db")
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(SnapshotError, match="exists already"):
        snapshot(database, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_missing_disk_space_is_detected_before_the_copy(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.snapshot.FREE_SPACE_FACTOR", 1e12)
    with pytest.raises(SnapshotError, match="MB are free"):
        snapshot(database, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_snapshot_command(environment: dict[str, str], migrated: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    command = [sys.executable, "-m", "app", "snapshot", str(target)]
    environment = environment | {"DATABASE_URL": f"sqlite:///{migrated}"}
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        for _ in range(2)
    )
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"{target.stat().st_size} bytes, checked\n"
    assert (second.returncode, second.stderr) == (1, f"No snapshot was taken: {target} exists already\n")
    nothing = subprocess.run(command[:-1], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert nothing.returncode == 2


def test_snapshot_command_with_json(environment: dict[str, str], migrated: Path, tmp_path: Path) -> None:
    target, before = tmp_path / "copy.db", time.time()
    command = [sys.executable, "-m", "app", "snapshot", "--gently", "--json", str(target)]
    environment = environment | {"DATABASE_URL": f"sqlite:///{migrated}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    told = json.loads(done.stdout)
    assert told["bytes"] == target.stat().st_size
    assert before < told["moment"] < time.time()
    assert (told["content"]["damage"], told["content"]["rows"]["booking"]) == ([], 0)
