"""Atomic writes: flushed before the rename, and unreadable for others before the mode is set."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cleaning_service_host.files import read_json, write_atomically, write_text_atomically

from tests import disk


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Let the modes not depend on the umask of the tests."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_json_is_readable_by_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.json"
    path.write_text("{}")
    steps = disk.watch(monkeypatch)
    write_atomically(path, {"key": "secret"})
    (final,) = disk.moved(steps)
    assert {step.mode for step in steps} == {0o600}
    assert (final.mode, path.stat().st_mode & 0o777) == (0o600, 0o600)
    assert read_json(path) == {"key": "secret"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_text_has_its_mode_with_any_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, umask: int
) -> None:
    os.umask(umask)
    steps = disk.watch(monkeypatch)
    write_text_atomically(tmp_path / "page", "for others", mode=mode)
    (final,) = disk.moved(steps)
    assert (steps[0].mode, final.mode) == (0o600, mode)
    assert (tmp_path / "page").read_text() == "for others"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "no disk")

    write_atomically(path := tmp_path / "state", {"old": True})
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no disk"):
        write_atomically(path, {"new": True})
    assert read_json(path) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]
