"""What outlives the process: on real files, damaged, missing and on a full disk."""

import json
import multiprocessing
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cleaning_service_monitor.state import MAX_PAUSE, Maintenance, RunLock, StateFile


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow: the next write of any fails with an OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    StateFile(tmp_path).save({"a": [1, None]})
    assert StateFile(tmp_path).load() == {"a": [1, None]}
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_no_file_is_an_empty_memory(tmp_path: Path) -> None:
    assert StateFile(tmp_path).load() == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_file_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - from several decoders, each with its own words
        StateFile(tmp_path).load()


def test_a_full_disk_keeps_the_old_state(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    state.save({"old": True})
    with full_disk(), pytest.raises(OSError, match="File too large"):
        state.save({"new": True})
    assert state.load() == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def _try_lock(directory: Path, results: "multiprocessing.Queue[bool]") -> None:
    results.put(RunLock(directory).acquire())


def test_the_lock_is_for_one_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[bool] = context.Queue()
    lock = RunLock(tmp_path)
    assert lock.acquire()
    for _ in range(2):
        process = context.Process(target=_try_lock, args=(tmp_path, results))
        process.start()
        process.join(20)
        lock.release()
    assert [results.get(timeout=5), results.get(timeout=5)] == [False, True]


def test_a_pause_ends_by_itself(tmp_path: Path) -> None:
    maintenance = Maintenance(tmp_path)
    maintenance.begin(0.2, "test")
    pause = Maintenance(tmp_path).current()
    assert pause is not None
    assert pause.reason == "test"
    time.sleep(0.25)
    assert maintenance.current() is None
    assert not maintenance.end()


def test_a_pause_can_be_ended(tmp_path: Path) -> None:
    maintenance = Maintenance(tmp_path)
    maintenance.begin(60, "test")
    assert maintenance.end()
    assert maintenance.current() is None


def test_a_pause_that_ends_later_can_be_left_as_it_is(tmp_path: Path) -> None:
    maintenance = Maintenance(tmp_path)
    long = maintenance.begin(7200, "mine")
    assert maintenance.begin(60, "release", at_least=True) == long
    assert maintenance.current() == long
    assert maintenance.begin(9000, "release", at_least=True).reason == "release"
    assert maintenance.begin(60, "mine").reason == "mine"


def test_a_pause_can_be_ended_by_its_reason(tmp_path: Path) -> None:
    maintenance = Maintenance(tmp_path)
    assert not maintenance.end("release")
    maintenance.begin(60, "mine")
    assert not maintenance.end("release")
    assert maintenance.current() is not None
    assert maintenance.end("mine")
    assert maintenance.current() is None


@pytest.mark.parametrize("seconds", [0, -1, MAX_PAUSE + 1])
def test_no_pause_without_an_end_in_sight(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="at most 24 h"):
        Maintenance(tmp_path).begin(seconds, "test")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"until": "x", "reason": ""}',
        '{"until": 9e18, "reason": ""}',
        '{"until": NaN, "reason": ""}',
    ],
)
def test_a_damaged_pause_holds_nobody_up(tmp_path: Path, content: str) -> None:
    (tmp_path / "maintenance.json").write_text(content)
    assert Maintenance(tmp_path).current() is None


def test_a_full_disk_leaves_the_old_pause_in_force(tmp_path: Path) -> None:
    maintenance = Maintenance(tmp_path)
    maintenance.begin(60, "old")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        maintenance.begin(120, "new")
    assert json.loads((tmp_path / "maintenance.json").read_text())["reason"] == "old"
