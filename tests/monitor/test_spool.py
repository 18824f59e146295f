"""The spool: nothing is lost, whatever the disk does, and it does not grow for ever."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_monitor import spool as spool_module
from cleaning_service_monitor.messages import Message, compose
from cleaning_service_monitor.spool import Backlog, Entry, Progress, Spool, least_important, locked
from hypothesis import given
from hypothesis import strategies as st

from tests import disk
from tests.monitor.receivers import incident

NOW = 1764047893.0


def message(kind: str = "problem", component: str = "api", at: float = NOW) -> Message:
    return compose(kind, incident(component), "shop", at)


def read(directory: Path, *, handed_over: bytes = b"") -> tuple[Backlog, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return Backlog(directory, handed_over.splitlines(), events.append), events


def ids(backlog: Backlog) -> list[str]:
    return [entry.message["id"] for group in backlog.incidents() for entry in group]


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


def test_a_message_survives(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert not spool.anything()
    assert spool.put(message())
    assert spool.put(message())  # the same again
    assert spool.fresh
    assert Spool(tmp_path / "spool").anything()
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()} == {0o600}
    backlog, events = read(tmp_path / "spool")
    assert [[entry.message for entry in group] for group in backlog.incidents()] == [[message()]]
    assert events == []
    assert spool.notes == []


def test_saved_message_is_flushed_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = disk.watch(monkeypatch)
    assert Spool(tmp_path / "spool").put(message())
    assert disk.moved(steps)
    assert (steps[-1].call, steps[-1].inode) == ("fsync", (tmp_path / "spool").stat().st_ino)


def test_order_within_an_incident_in_spite_of_the_clock(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for kind, component, at in [
        ("resolved", "api", NOW - 900),  # the clock was put back
        ("reminder", "api", NOW + 7200),
        ("reminder", "api", NOW + 3600),
        ("problem", "redis", NOW - 5),
        ("problem", "api", NOW),
    ]:
        spool.put(message(kind, component, at))
    spool.put(compose("test", {}, "shop", NOW + 1))
    assert ids(read(tmp_path)[0]) == [
        "20261125T051800Z-api.problem",
        f"20261125T051800Z-api.reminder.{NOW + 3600:.0f}",
        f"20261125T051800Z-api.reminder.{NOW + 7200:.0f}",
        "20261125T051800Z-api.resolved",
        "20261125T051800Z-redis.problem",
        "20251125T051814Z.test",
    ]


def test_names_of_files_are_harmless_and_different(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    names = ["../../evil", ".hidden", "a/b", "a%2Fb", "x" * 400, "x" * 401, "ж"]
    for name in names:
        assert spool.put({**message(), "id": name})
    assert sorted(ids(read(tmp_path / "spool")[0])) == sorted(names)
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_progress_is_kept_and_what_is_done_is_removed(tmp_path: Path) -> None:
    Spool(tmp_path).put(message())
    backlog, _ = read(tmp_path)
    ((entry,),) = backlog.incidents()
    entry.on("a").done = "delivered"
    entry.on("b").attempts = 3
    backlog.note(entry, ["a", "b"])
    backlog, events = read(tmp_path)
    ((entry,),) = backlog.incidents()
    assert entry.delivery == {"a": Progress(done="delivered"), "b": Progress(attempts=3)}
    entry.on("b").done = "given-up"
    backlog.note(entry, ["a", "b"])
    assert backlog.incidents() == []
    assert list(tmp_path.iterdir()) == []
    assert events == []


DAMAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 100000,
    b'{"id": "x"}',
    json.dumps({**message(), "kind": "other"}).encode(),
    json.dumps({**message(), "at": "noon"}).encode(),
    json.dumps({**message(), "at": 10**400}).encode(),
    json.dumps({**message(), "at": float("nan")}).encode(),
    json.dumps({**message(), "incident_data": 1}).encode(),
    json.dumps({**message(), "delivery": {"a": 1}}).encode(),
    json.dumps({**message(), "delivery": {"a": {"attempts": "many"}}}).encode(),
    json.dumps({**message(), "delivery": {"a": {"error": 1}}}).encode(),
    b" " * 300000,
]


@pytest.mark.parametrize("content", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_file_is_moved_aside_and_told_once(tmp_path: Path, content: bytes) -> None:
    Spool(tmp_path).put(message(component="redis"))
    (tmp_path / "bad.json").write_bytes(content)
    backlog, events = read(tmp_path)
    assert ids(backlog) == ["20261125T051800Z-redis.problem"]
    assert events == [{"event": "damaged", "file": "bad.json", "moved": True}]
    assert (tmp_path / "bad.json.damaged").exists()
    assert read(tmp_path)[1] == []


@given(content=st.binary(max_size=300))
def test_no_content_of_a_file_stops_the_rest(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("spool")
    (directory / "bad.json").write_bytes(content)
    assert ids(read(directory)[0]) == []


def test_what_is_no_file_is_damage_too(tmp_path: Path) -> None:
    (tmp_path / "directory.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    backlog, events = read(tmp_path)
    assert ids(backlog) == []
    assert {event["file"] for event in events} == {"directory.json", "pipe.json"}


def test_damaged_and_half_written_files_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.json").write_text("{")
    old, new = tmp_path / ".old.json.1", tmp_path / ".new.json.1"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    read(tmp_path)
    assert len(list(tmp_path.glob("*.damaged"))) == 20
    assert [path.name for path in tmp_path.glob(".*")] == [".new.json.1"]


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool")
        assert spool.put(message())
        filler = fill(disk)
        assert not spool.put(message(component="redis"))
        assert not spool.put(message(component="redis"))
        assert not spool.put(message(component="proxy", at=NOW - 1))
        assert [(note.name, note.details) for note in spool.notes] == [
            ("alert-not-saved", {"cause": "No space left on device", "kept": "in memory"})
        ]
        # The child still gets all of them, and what it did comes back.
        backlog, events = read(disk / "spool", handed_over=spool.hand_over())
        assert [name.split("-")[1] for name in ids(backlog)] == ["proxy.problem", "api.problem", "redis.problem"]
        proxy, api, redis = (entry for (entry,) in backlog.incidents())
        for entry, channel in ((api, "a"), (proxy, "a"), (redis, "a"), (redis, "b")):
            entry.on(channel).done = "delivered"
            entry.on(channel).error = "x" * 5000  # what is longer than before does not fit
            backlog.note(entry, ["a", "b"])
        assert [(event["id"].split("-")[1], event["finished"]) for event in events] == [
            ("api.problem", False),
            ("proxy.problem", False),
            ("redis.problem", False),
            ("redis.problem", True),
        ]
        for event in events:
            spool.learn(event["id"], event["delivery"], finished=event["finished"])
        spool.flush()
        assert len(list((disk / "spool").iterdir())) == 1
        # What was done is remembered by the next child, though no file says it.
        backlog, events = read(disk / "spool", handed_over=spool.hand_over())
        assert [entry.on("a").done for (entry,) in backlog.incidents()] == ["delivered"] * 2
        filler.unlink()
        spool.flush()
        assert sorted(path.name.split("-")[1] for path in (disk / "spool").iterdir()) == [
            "api.problem.json",
            "proxy.problem.json",
        ]
        backlog, events = read(disk / "spool", handed_over=spool.hand_over())
        (proxy,), (api,) = backlog.incidents()
        assert (api.on("a").done, proxy.on("a").done) == ("delivered", "delivered")
        api.on("b").done = "delivered"
        backlog.note(api, ["a", "b"])
        assert events == [{"event": "forget", "ids": [api.message["id"]]}]
        spool.forget(events[0]["ids"])
        assert spool.hand_over() == b""
        assert spool.put(message(component="memory"))


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """The same without a mount: the kernel refuses to let any file grow."""
    program = (
        "import signal, resource, sys, json\n"
        "from pathlib import Path\n"
        "from cleaning_service_monitor.spool import Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "assert not spool.put(json.loads(sys.argv[2]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "spool.flush()\n"
        "assert spool.hand_over() == b''\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), json.dumps(message())]
    subprocess.run(command, check=True)
    assert ids(read(tmp_path)[0]) == [message()["id"]]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_no_directory_at_all(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "gone" / "spool")
    assert not spool.put(message())
    assert spool.anything()
    backlog, _ = read(tmp_path / "gone" / "spool", handed_over=spool.hand_over())
    assert ids(backlog) == [message()["id"]]


def test_what_was_learned_of_a_file_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.learn("gone", {"a": {"done": "delivered"}}, finished=True)
    _, events = read(tmp_path, handed_over=spool.hand_over())
    assert events == [{"event": "forget", "ids": ["gone"]}]


def test_what_the_monitor_hands_over_may_be_damaged(tmp_path: Path) -> None:
    Spool(tmp_path).put(message())
    lines = b'\n{\n[]\n{"id": "x", "delivery": 1}\n{"id": 1}\n' + b"[" * 100000
    backlog, _ = read(tmp_path, handed_over=lines)
    assert ids(backlog) == [message()["id"]]


def test_only_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path) as first, locked(tmp_path) as second:
        assert (first, second) == (True, False)
    with locked(tmp_path) as third:
        assert third
    with pytest.raises(FileNotFoundError), locked(tmp_path / "gone"):
        pass


# Bounds.


def test_a_full_spool_drops_what_matters_least_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAX_MESSAGES", 3)
    spool = Spool(tmp_path)
    spool.put(message(at=NOW))
    spool.put(message("reminder", at=NOW + 1))
    spool.put(message(component="redis", at=NOW + 2))
    (tmp_path / "bad.json").write_text("{")
    assert spool.put(message(component="proxy", at=NOW + 3))
    assert [name.split("-")[1] for name in ids(read(tmp_path)[0])] == ["api.problem", "redis.problem", "proxy.problem"]
    told = [(note.name, str(note.details.get("id", note.details.get("file")))) for note in spool.notes]
    assert told[0] == ("alert-damaged", "bad.json")
    assert [name for name, _ in told[1:]] == ["alert-dropped"]
    # A newcomer that matters least is what is dropped.
    assert spool.put(message("reminder", at=NOW + 4))
    assert "reminder" not in str(ids(read(tmp_path)[0]))


def test_a_full_spool_waits_for_the_child_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAX_MESSAGES", 2)
    spool = Spool(tmp_path)
    for number in range(2):
        spool.put(message(component=f"c{number}", at=NOW + number))
    with locked(tmp_path):
        for number in range(2, 6):
            assert not spool.put(message(component=f"c{number}", at=NOW + number))
        assert len(list(tmp_path.iterdir())) == 2
        assert len(spool.hand_over().splitlines()) == 2  # memory is bounded, too
    spool.flush()
    assert [name.split("-")[1] for name in ids(read(tmp_path)[0])] == ["c4.problem", "c5.problem"]


def test_what_is_dropped_first() -> None:
    entries = [
        Entry(message("problem", "a", NOW)),
        Entry(message("problem", "b", NOW + 1)),
        Entry(message("resolved", "b", NOW + 2)),
        Entry(message("reminder", "a", NOW + 3)),
        Entry(message("problem", "c", NOW + 4)),
        Entry(message("reminder", "a", NOW + 5)),
        Entry(message("resolved", "c", NOW + 6)),
    ]

    def dropped(count: int) -> list[int]:
        return [entries.index(entry) for entry in least_important(entries, count)]

    assert [dropped(count) for count in (-1, 0, 1, 2)] == [[], [], [3], [3, 5]]
    assert dropped(3) == dropped(4) == [3, 5, 1, 2]
    assert dropped(6) == [3, 5, 1, 2, 4, 6]
    assert dropped(7) == [3, 5, 1, 2, 4, 6, 0]


kinds = st.sampled_from(["problem", "person-needed", "reminder", "resolved", "test"])


@given(st.lists(st.tuples(kinds, st.sampled_from("abcd"), st.integers(0, 50)), max_size=30), st.integers(-3, 40))
def test_enough_is_dropped_and_nothing_twice(messages: list[tuple[str, str, int]], count: int) -> None:
    entries = [Entry(message(kind, component, NOW + at)) for kind, component, at in messages]
    chosen = least_important(entries, count)
    assert len(chosen) >= min(max(count, 0), len(entries))
    assert len({id(entry) for entry in chosen}) == len(chosen)
