"""The database's file is removed or replaced, or belongs to somebody else, while the API runs."""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.queues import Queue
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2

from app.kit import sqlite
from app.kit.sqlite import WAL, DatabaseFile, FileMovedError, FileUnusableError
from app.snapshot import snapshot
from tests.app.conftest import Serve, Server, new_user

REGISTER = "/api/v1/auth/register"
STRANGER = 12345  # user id
MICROSECONDS = 20.0  # that a look at the file may take; it takes one


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def register(server: Server) -> int:
    """Register somebody; returns the status of the answer."""
    return httpx.post(server.url + REGISTER, json=new_user(), timeout=40, trust_env=False).status_code


def accounts(path: Path) -> int:
    """How many accounts the file holds."""
    with closing(dbapi2.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM user_account").fetchone()[0])


def test_a_database_that_is_removed_takes_no_writes_and_is_saved(serve: Serve) -> None:
    server = serve()
    assert [register(server) for _ in range(3)] == [201] * 3
    for path in server.database.parent.glob("test.db*"):
        path.unlink()
    assert register(server) == 503
    answer = httpx.get(f"{server.url}/health/ready", trust_env=False)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-file-moved")
    assert "the database file is missing" in answer.json()["detail"]
    assert httpx.get(f"{server.url}/health", trust_env=False).json()["checks"]["database"] == "unavailable"
    within(10, lambda: bool(list(server.database.parent.glob("rescued-*.db"))))
    (rescued,) = server.database.parent.glob("rescued-*.db")
    assert accounts(rescued) == 3
    assert server.process.poll() is None
    assert not server.database.exists()
    # Put back, it is another file: this process ends, and the next one opens it.
    rescued.rename(server.database)
    within(20, lambda: server.process.poll() is not None)
    assert server.process.returncode == 0
    assert register(serve()) == 201
    assert accounts(server.database) == 4


def test_the_same_file_put_back_is_served_again(server: Server) -> None:
    away = server.database.with_name("away.db")
    server.database.rename(away)
    assert register(server) == 503
    away.rename(server.database)
    assert register(server) == 201
    within(5, lambda: httpx.get(f"{server.url}/health/ready", trust_env=False).status_code == 200)


def test_a_database_that_is_replaced_is_opened_without_the_log_of_the_one_before(serve: Serve) -> None:
    server = serve()
    assert [register(server) for _ in range(3)] == [201] * 3
    copy = server.database.with_name("copy.db")
    snapshot(server.database, copy)
    long_ago = time.time() - 60
    os.utime(copy, (long_ago, long_ago))
    assert [register(server) for _ in range(2)] == [201] * 2
    log = server.database.with_name(server.database.name + WAL)
    assert log.stat().st_size > 0
    # Another replica is at saving the file, too.
    server.database.with_name(f"rescued-{server.database.stat().st_ino}.db.part").write_bytes(b"begun")
    copy.replace(server.database)
    assert register(server) == 503
    within(20, lambda: server.process.poll() is not None)
    assert log.stat().st_size > 0, "the log of the file before is there, and would be taken for this one's"
    again = serve()
    assert accounts(server.database) == 3
    assert register(again) == 201
    assert accounts(server.database) == 4
    assert [path.name for path in server.database.parent.glob("test.db.replaced-*-wal")]


def test_a_write_is_not_acknowledged_when_the_file_goes_before_its_commit(tmp_path: Path, migrated: Path) -> None:
    """Also a connection that is opened meanwhile is none to another file."""
    shutil.copy(migrated, tmp_path / "test.db")
    file = DatabaseFile(tmp_path / "test.db")
    file.connect().close()
    shutil.copy(migrated, tmp_path / "other.db")
    (tmp_path / "other.db").replace(tmp_path / "test.db")
    with pytest.raises(FileMovedError, match="replaced"):
        file.connect()
    (tmp_path / "test.db").unlink()
    with pytest.raises(FileMovedError, match="missing"):
        file.connect()
    assert not (tmp_path / "test.db").exists()


def test_a_file_that_is_replaced_while_it_is_opened(
    tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.db"
    shutil.copy(migrated, path)
    shutil.copy(migrated, tmp_path / "other.db")
    file = DatabaseFile(path)
    connect = dbapi2.connect

    def replaced(*arguments: object, **options: object) -> object:
        (tmp_path / "other.db").replace(path)
        return connect(*arguments, **options)

    monkeypatch.setattr(dbapi2, "connect", replaced)
    with pytest.raises(FileMovedError, match="replaced"):
        file.connect()


def test_a_look_at_the_file_costs_next_to_nothing(tmp_path: Path, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    file = DatabaseFile(tmp_path / "test.db")
    begun = time.process_time()
    for _ in range(10_000):
        file.require()
    assert (time.process_time() - begun) / 10_000 * 1e6 < MICROSECONDS


def as_stranger(path: Path, results: "Queue[tuple[int, str]]") -> None:
    """Use the file as a user whom it does not belong to."""
    os.setuid(STRANGER)
    try:
        DatabaseFile(path)
    except FileUnusableError as error:
        results.put((error.exit_code, str(error)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("owned", ["directory", "database", "log"])
def test_files_of_another_user_are_named(migrated: Path, owned: str) -> None:
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as name:
        files = {"directory": Path(name), "database": Path(name) / "test.db", "log": Path(name) / f"test.db{WAL}"}
        shutil.copy(migrated, files["database"])
        files["log"].touch()
        for kind, file in files.items():
            file.chmod(0o755 if kind == "directory" else 0o644)
            os.chown(file, *([0, 0] if kind == owned else [STRANGER, STRANGER]))
        results: Queue[tuple[int, str]] = fork.Queue()
        process = fork.Process(target=as_stranger, args=(files["database"], results))
        process.start()
        exit_code, said = results.get(timeout=20)
        process.join(20)
    assert exit_code == sqlite.EX_NOPERM
    assert said.startswith(f"{files[owned]} belongs to the user 0 with the mode 0")
    assert "and the API runs as the user 12345" in said
