"""Bringing data back: which, what becomes of those that were there, and that no crash loses any."""

import contextlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_backup import restore as restore_module
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.replica import Replica
from cleaning_service_backup.restore import (
    Candidate,
    Exchange,
    Fetched,
    Restorer,
    Sources,
    Wish,
    prune_set_aside,
    recover,
)
from cleaning_service_backup.workshop import DATABASE
from cleaning_service_release.errors import BusyError, ReleaseError, RevertFailedError
from cleaning_service_release.release import Releaser

from tests.backup.conftest import Site, flip, packs
from tests.backup.database import accounts, register

NAMES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}.log-of")


class Crash(BaseException):
    """The power goes."""


def bytes_below(top: Path) -> set[bytes]:
    """Return the content of each file below a directory."""
    return {path.read_bytes() for path in top.rglob("*") if path.is_file()}


class Bench:
    """A data directory of four files of before, and one new database."""

    def __init__(self, site: Site) -> None:
        site.connection.close()
        self.site = site
        self.data = site.database.parent
        for path in self.data.iterdir():
            path.unlink()
        for name in NAMES:
            (self.data / name).write_bytes(f"before {name}".encode())
        self.before = self.files()
        self.new = site.top / "new"
        self.new.write_bytes(b"restored")

    def files(self) -> dict[str, bytes]:
        """Return what is in place."""
        return {path.name: path.read_bytes() for path in self.data.iterdir() if path.is_file()}

    def exchange(self) -> Exchange:
        """Return an exchange for the new database."""
        return Exchange(self.site.place, self.new, "20261129T000000Z", None, self.site.said.append)

    def recover(self) -> bool:
        """Recover in a new process, as far as the program can tell."""
        return recover(self.site.settings, self.site.place, self.site.said.append)


@pytest.fixture
def bench(site: Site) -> Bench:
    return Bench(site)


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> list[int]:
    """Let the power go at a step of all that changes files, before it is done or after; returns the steps left."""
    left = [number]
    places: list[tuple[Any, str]] = [
        (os, "link"), (os, "chown"), (os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink"),
        (Path, "mkdir"), (Path, "rmdir"), (Path, "chmod"), (restore_module, "write_atomically"),
    ]  # fmt: skip

    def breaking(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Crash
            done = function(*arguments, **named)
            if left[0] == 0:
                raise Crash
            return done

        return call

    for owner, name in places:
        monkeypatch.setattr(owner, name, breaking(getattr(owner, name)))
    return left


def test_what_was_there_is_set_aside_and_the_new_one_is_in_place(bench: Bench) -> None:
    exchange = bench.exchange()
    exchange.put()
    assert bench.files() == {DATABASE: b"restored"}
    aside = bench.site.place.set_aside / "20261129T000000Z"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == bench.before
    exchange.done()
    assert not bench.site.place.under_way.exists()
    assert not bench.recover()
    assert bench.files() == {DATABASE: b"restored"}


def test_undo_puts_all_back_and_keeps_what_was_put_in_place(bench: Bench) -> None:
    exchange = bench.exchange()
    exchange.put()
    (bench.data / f"{DATABASE}-wal").write_bytes(b"worked with")
    exchange.undo()
    assert bench.files() == bench.before
    assert {b"restored", b"worked with"} <= bytes_below(bench.site.place.set_aside)
    assert not bench.site.place.under_way.exists()


def test_undo_after_done_puts_all_back(bench: Bench) -> None:
    exchange = bench.exchange()
    exchange.put()
    exchange.done()
    exchange.undo()
    assert bench.files() == bench.before
    assert b"restored" in bytes_below(bench.site.place.set_aside)


def test_a_server_without_data_gets_the_new_ones(bench: Bench) -> None:
    for name in NAMES:
        (bench.data / name).unlink()
    exchange = bench.exchange()
    exchange.put()
    assert bench.files() == {DATABASE: b"restored"}
    exchange.undo()
    assert bench.files() == {}


def test_the_new_one_may_lie_on_another_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def elsewhere(path: Path, target: Path) -> Path:
        if path == bench.new:
            raise OSError(18, "Invalid cross-device link")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", elsewhere)
    bench.exchange().put()
    assert bench.files() == {DATABASE: b"restored"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("second", [False, True], ids=["once", "twice"])
def test_a_crash_at_any_step_loses_nothing(tmp_path: Path, site: Site, *, after: bool, second: bool) -> None:
    """Before `done` all of before comes back, after it the new one stays; so it is when `recover` crashes too."""
    site.connection.close()
    ended = False
    for number in range(1, 200):
        for leftover in (site.place.set_aside, site.place.under_way, tmp_path / "new"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        bench, done = Bench(site), False
        with pytest.MonkeyPatch.context() as patch:
            left = crash_at(patch, number, after=after)
            with contextlib.suppress(Crash):
                exchange = bench.exchange()
                exchange.put()
                done = True
                exchange.done()
            ended = left[0] > 0
        done = done and not site.place.under_way.exists()
        everything = bytes_below(bench.data)
        assert set(bench.before.values()) <= everything, number
        for again in range(1, 100 if second else 1):
            with pytest.MonkeyPatch.context() as patch:
                left = crash_at(patch, again, after=after)
                with contextlib.suppress(Crash):
                    bench.recover()
            assert set(bench.before.values()) <= bytes_below(bench.data), (number, again)
            if left[0] > 0:
                break
        bench.recover()
        found = {name: content for name, content in bench.files().items() if name in NAMES}
        assert found == ({DATABASE: b"restored"} if done else bench.before), number
        assert set(bench.before.values()) <= bytes_below(bench.data), number
        assert not site.place.under_way.exists()
        assert done or ".cleaning_service_stable.db.restored" not in bench.files()
        if ended:
            break
    assert ended
    assert number > 20


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_step_of_undo_brings_all_of_before_back(tmp_path: Path, site: Site, *, after: bool) -> None:
    for number in range(1, 100):
        for leftover in (site.place.set_aside, site.place.under_way, tmp_path / "new"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        bench = Bench(site)
        exchange = bench.exchange()
        exchange.put()
        (bench.data / f"{DATABASE}-wal").write_bytes(b"worked with")
        with pytest.MonkeyPatch.context() as patch:
            left = crash_at(patch, number, after=after)
            with contextlib.suppress(Crash):
                exchange.undo()
        bench.recover()
        assert bench.files() == bench.before, number
        assert {b"restored", b"worked with"} <= bytes_below(site.place.set_aside), number
        if left[0] > 0:
            break
    assert 10 < number < 99


def exchanged(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Let the release exchange the data without containers."""

    def replace_data(_: Releaser, exchange: Exchange, _by: str) -> None:
        exchange.put()
        if error:
            exchange.undo()
            raise error
        exchange.done()

    monkeypatch.setattr(Releaser, "replace_data", replace_data)


def test_the_newest_that_is_not_younger_is_brought_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged(monkeypatch)
    site.staged()
    first = site.repository().backups()[0]
    register(site.database)
    site.staged()
    restorer = Restorer(site.settings, site.place, site.said.append)
    with pytest.raises(BackupError, match="nothing can be restored: there is no such backup"):
        restorer.restore(Wish(at=first.moment - 1), "test")
    restorer.restore(Wish(at=first.moment + 0.001), "test")
    assert accounts(site.database) == 4
    assert stat.S_IMODE(site.database.stat().st_mode) == 0o640
    (aside,) = site.place.set_aside.iterdir()
    assert accounts(aside / DATABASE) == 5
    assert not any(site.place.scratch.iterdir())
    monkeypatch.setattr(time, "strftime", lambda *_: "20300101T000000Z")
    restorer.restore(Wish(), "test")
    assert accounts(site.database) == 5


def test_a_broken_one_gives_way_to_the_next_unless_it_was_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged(monkeypatch)
    site.staged()
    register(site.database)
    site.staged(change=lambda path, _: register(path))
    broken = site.repository().backups()[-1]
    restorer = Restorer(site.settings, site.place, site.said.append)
    before = site.files()
    with pytest.raises(BackupError, match=r"nothing was restored: .* has not the rows"):
        restorer.restore(Wish(snapshot=broken.id), "test")
    assert site.files() == before
    restorer.restore(Wish(), "test")
    assert accounts(site.database) == 4
    assert any(line.startswith("not good: it has not the rows") for line in site.said)


def test_where_none_is_good_nothing_is_touched(site: Site, tmp_path: Path) -> None:
    site.staged()
    flip(max(packs(tmp_path / "local"), key=lambda path: path.stat().st_size))
    before = site.files()
    with pytest.raises(BackupError, match="nothing was restored"):
        Restorer(site.settings, site.place, site.said.append).restore(Wish(), "test")
    assert site.files() == before
    assert not site.place.set_aside.exists()
    assert not any(site.place.scratch.iterdir())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ReleaseError("not ready", ["a line of it"]), BackupError),
        (RevertFailedError("a person"), RevertFailedError),
        (BusyError("a release"), BusyError),
    ],
)
def test_how_the_release_ended_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    exchanged(monkeypatch, error)
    site.staged()
    site.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = site.files()
    with pytest.raises(expected, match=str(error)):
        Restorer(site.settings, site.place, site.said.append).restore(Wish(), "test")
    assert site.files() == before


def test_foretold_and_not_done(site: Site) -> None:
    site.staged()
    before = site.files()
    Restorer(site.settings, site.place, site.said.append).foretell(Wish())
    assert site.said[-3].startswith(f"would fetch the backup {site.repository().backups()[0].id} of the local")
    assert site.files() == before


def test_of_several_repositories_the_one_taken_last_comes_first_whatever_the_clock_said(site: Site) -> None:
    site.only("local", "remote")
    content = site.top / "content"
    content.mkdir()
    (content / "manifest.json").write_text("{}")
    now = 1_795_939_200.0
    for sequence, moment in enumerate((now, now + 3600, now + 60), 1):  # the second one by a clock that was ahead
        for name in ("local", "remote"):
            site.repository(name).add(content, moment, sequence)
    sources = Sources(site.history, site.settings, site.place, site.said.append)
    found = [(each.source, each.moment - now) for each in sources.candidates(Wish())]
    assert found[0] == ("local", 60)
    assert sorted(found) == sorted((name, offset) for name in ("local", "remote") for offset in (0, 3600, 60))
    assert [each.moment - now for each in sources.candidates(Wish(at=now + 100, source="remote"))] == [60, 0]
    shutil.rmtree(site.top / "local")
    assert [each.source for each in sources.candidates(Wish(source="history"))] == ["remote"] * 3
    assert site.said[-1].startswith("left out: the local repository: ")
    with pytest.raises(BackupError, match="nothing can be restored: the local repository: unable"):
        sources.candidates(Wish(source="local"))


class StandIn(Replica):
    """A replica that has the database as it is now, of a moment that the test says."""

    def __init__(self, site: Site, moment: float) -> None:
        site.use(replace(site.settings, replica={"image": "image", "user": "0:0"}))
        super().__init__(site.settings, site.place.layout)
        self.moment = moment
        self.asked: list[float | None] = []

    def restore(self, target: Path, at: float | None = None) -> float:
        """Copy it, in another process: one that closes a file gives up the locks that its SQLite holds on it."""
        self.asked.append(at)
        subprocess.run(["cp", self._database, target], check=True)
        return self.moment


def test_a_clock_that_was_ahead_makes_no_replica_an_old_one(site: Site) -> None:
    site.staged(change=lambda _, manifest: manifest.update(moment=manifest["moment"] + 7200))
    site.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    replica = StandIn(site, time.time())
    sources = Sources(site.history, site.settings, site.place, site.said.append)
    sources.replica = replica
    candidates = sources.candidates(Wish())
    assert [each.source for each in candidates] == ["replica", "local"]
    ahead = [candidates[0], replace(candidates[1], moment=time.time() + 7200)]

    def fetched(candidate: Candidate) -> Fetched:
        with site.place.emptied(site.place.scratch) as directory:
            return sources.fetch(candidate, directory)

    same = fetched(candidates[0])
    sources.require_newest(ahead[0], same, ahead)
    with pytest.raises(BackupError, match="has more in it"):
        sources.require_newest(ahead[0], replace(same, rows={**same.rows, "user_account": 3}), ahead)
    register(site.database)
    site.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sources.require_newest(ahead[0], fetched(candidates[0]), ahead)
    fetched(sources.candidates(Wish(at=5.0))[0])
    assert replica.asked == [None, None, 5.0], "the newest is asked for without the clock"


def test_what_was_set_aside_goes_by_number_and_by_room(site: Site) -> None:
    def fill(*sizes: int) -> None:
        shutil.rmtree(site.place.set_aside, ignore_errors=True)
        for number, size in enumerate(sizes):
            directory = site.place.set_aside / f"2026112{number}T000000Z"
            directory.mkdir(parents=True)
            (directory / DATABASE).write_bytes(bytes(size))

    def left(settings_keep: int, megabytes: int) -> list[str]:
        settings = replace(site.settings, set_aside_keep=settings_keep, set_aside_mb=megabytes)
        said = list(prune_set_aside(site.place, settings))
        assert all(line.startswith("removed ") for line in said)
        return sorted(path.name[6:8] for path in site.place.set_aside.iterdir())

    assert list(prune_set_aside(site.place, site.settings)) == []
    fill(10, 10, 10, 10)
    assert left(2, 100) == ["22", "23"]
    fill(10, 600_000, 600_000, 300_000)
    assert left(9, 1) == ["22", "23"]
    fill(10, 10, 5_000_000)
    assert left(9, 1) == ["22"], "the last one stays in any case"
    fill(10, 10, 10)
    (site.place.set_aside / "20270101T000000Z").symlink_to("/etc")
    (site.place.set_aside / "20270102T000000Z").write_text("somebody's")
    assert left(1, 100) == ["01", "02", "22"]


def test_a_bare_server_gets_what_it_misses_and_no_more(site: Site) -> None:
    directory = site.settings.directory
    certificate, secret = directory / "proxy/data/certificate", directory / ".env"
    os.chown(certificate, 1000, 1001)
    certificate.chmod(0o640)
    site.staged()
    restorer = Restorer(site.settings, site.place, site.said.append)
    certificate.unlink()
    secret.unlink()
    (directory / "releases/releases.jsonl").write_text("newer\n")
    assert restorer.restore_server(Wish()) == [".env", "proxy/data"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert (certificate.read_text(), stat.S_IMODE(certificate.stat().st_mode)) == ("certificate", 0o640)
    assert (certificate.stat().st_uid, certificate.stat().st_gid) == (1000, 1001)
    assert (directory / "releases/releases.jsonl").read_text() == "newer\n"
    assert not list(directory.rglob("*.restored"))
    assert restorer.restore_server(Wish()) == []


def test_a_server_that_misses_nothing_asks_no_repository(site: Site, tmp_path: Path) -> None:
    (site.settings.directory / "releases/starts.json").write_text("{}")
    shutil.rmtree(tmp_path / "local")
    assert Restorer(site.settings, site.place, site.said.append).restore_server(Wish()) == []
    (site.settings.directory / ".env").unlink()
    with pytest.raises(BackupError, match="nothing can be restored: the local repository"):
        Restorer(site.settings, site.place, site.said.append).restore_server(Wish())
