"""The spool: nothing is lost, whatever the disk does, and it does not grow for ever."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cleaning_service_monitor.alerts import spool as spool_module
from cleaning_service_monitor.alerts.spool import Spool
from cleaning_service_monitor.messages import Message, compose
from hypothesis import given
from hypothesis import strategies as st

from tests import disk
from tests.monitor.alerts.receivers import incident

NOW = 1764047893.0


def message(kind: str = "problem", component: str = "api", at: float = NOW) -> Message:
    return compose(kind, incident(component), "shop", at)


def ids(spool: Spool, channel: str = "a") -> list[str]:
    """The messages of a queue, without the ids' moment."""
    return [found["id"].partition("-")[2] if found else "damaged" for _, found in spool.read(channel)]


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of its own that a test can fill."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def fill(directory: Path) -> Path:
    """Take all the space that is left; returns the file to remove for getting it back."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Make a mounted directory what a disk with errors becomes."""
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", directory], check=True)


def test_a_message_survives_in_each_queue(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.waiting("a") == []
    for channel in ("a", "b", "a"):  # the same again is one
        assert spool.put(channel, message()) == []
    again = Spool(tmp_path / "spool")
    assert [found for _, found in again.read("a")] == [message()]
    again.remove(again.waiting("a"))
    assert (ids(again, "a"), ids(again, "b")) == ([], ["api.problem"])


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.put("a", message())
    (path,) = spool.waiting("a")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_order_is_that_of_putting_in_spite_of_the_clock(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for kind, component, at in [
        ("problem", "api", NOW),
        ("problem", "redis", NOW - 5),
        ("reminder", "api", NOW + 3600),
        ("resolved", "api", NOW - 900),  # the clock was put back
    ]:
        spool.put("a", message(kind, component, at))
    spool.remove(spool.waiting("a")[:1])
    spool.put("a", message("resolved", "redis", NOW))
    expected = ["redis.problem", f"api.reminder.{NOW + 3600:.0f}", "api.resolved", "redis.resolved"]
    assert ids(spool) == expected


def test_names_of_files_are_harmless_and_different(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    names = ["../../evil", ".hidden", "a/b", "a%2Fb", "x" * 400, "ж"]
    for name in names:
        spool.put("a", {**message(), "id": name})
    assert [found["id"] for _, found in spool.read("a") if found] == names
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


DAMAGE = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100000, b'{"id": "x"}', b'{"kind": "other"}']


@pytest.mark.parametrize("content", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_file_stops_no_other(tmp_path: Path, content: bytes) -> None:
    spool = Spool(tmp_path)
    spool.put("a", message())
    (tmp_path / "a" / "00000000-bad.json").write_bytes(content)
    assert ids(spool) == ["damaged", "api.problem"]


@given(content=st.binary(max_size=300))
def test_no_content_of_a_file_stops_the_rest(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    spool.put("a", message())
    spool.waiting("a")[0].write_bytes(content)
    assert ids(spool) == ["damaged"]


def test_half_written_files_are_none(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put("a", message())
    (tmp_path / "a" / ".00000002-x.json.17").write_text("{")
    assert ids(spool) == ["api.problem"]


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool", tmp_path / "memory")
        spool.put("a", message())
        filler = fill(disk)
        spool.put("a", message(component="redis"))
        assert [path.is_relative_to(disk) for path in spool.waiting("a")] == [True, False]
        filler.unlink()
        spool.put("a", message("resolved"))
        assert ids(spool) == ["api.problem", "redis.problem", "api.resolved"]
        fill(disk)
        spool.remove(spool.waiting("a"))
        assert ids(spool) == []


def test_a_read_only_disk_repeats_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool", tmp_path / "memory")
        spool.put("a", message())
        with read_only(disk):
            spool.remove(spool.waiting("a"))
            spool.put("a", message(component="redis"))
            assert ids(spool) == ["redis.problem"]
            assert ids(Spool(disk / "spool", tmp_path / "memory")) == ["redis.problem"]


def test_nowhere_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Spool(tmp_path / "file" / "spool").put("a", message())


def test_a_full_queue_drops_its_oldest_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAX_WAITING", 3)
    spool = Spool(tmp_path)
    dropped = [spool.put("a", message(component=f"c{number}")) for number in range(5)]
    assert [[path.name for path in paths] for paths in dropped] == [
        *([[]] * 3),
        ["00000001-20261125T051800Z-c0.problem.json"],
        ["00000002-20261125T051800Z-c1.problem.json"],
    ]
    assert ids(spool) == ["c2.problem", "c3.problem", "c4.problem"]


# An upgrade, and changed settings.


def former(directory: Path, kind: str, component: str = "api", **delivery: str) -> None:
    """Leave a message as the former version did; `delivery` has what `done` was, with _ for - in the keys."""
    left = message(kind, component)
    progress = {key.replace("_", "-"): {"attempts": 2, "done": done} for key, done in delivery.items()}
    (directory / f"{left['id']}.json").write_text(json.dumps({**left, "delivery": progress}))


def test_what_the_former_version_left_goes_to_each_channel_that_has_not_had_it(tmp_path: Path) -> None:
    former(tmp_path, "problem", webhook_1a="delivered", smtp_2b="")
    former(tmp_path, "resolved", webhook_1a="delivered", webhook_3c="", smtp_2b="given-up")
    former(tmp_path, "problem", "redis")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "old.json.damaged").write_text("{")
    spool = Spool(tmp_path)
    for _ in range(2):  # the second time nothing is left
        spool.adopt(["webhook-1", "webhook-2", "smtp", "telegram"])
        assert ids(spool, "smtp") == ["api.problem", "redis.problem"]
        assert ids(spool, "webhook-1") == ids(spool, "webhook-2") == ["api.resolved", "redis.problem"]
        assert ids(spool, "telegram") == ["api.problem", "api.resolved", "redis.problem"]
        assert list(tmp_path.glob("*.json")) == []
    assert [found for _, found in spool.read("smtp")] == [message(), message(component="redis")]


def test_messages_for_a_channel_that_is_gone_are_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "disk", tmp_path / "memory")
    for channel in ("webhook-1", "webhook-2"):
        spool.put(channel, message())
    spool.adopt(["webhook-1"])
    assert (ids(spool, "webhook-1"), ids(spool, "webhook-2")) == (["api.problem"], [])


def test_message_is_flushed_with_its_name_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = disk.watch(monkeypatch)
    Spool(tmp_path / "spool").put("a", message())
    queue = tmp_path / "spool" / "a"
    assert disk.moved(steps)
    assert (steps[-1].call, steps[-1].inode) == ("fsync", queue.stat().st_ino)
    assert queue.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in queue.iterdir()] == [0o600]
