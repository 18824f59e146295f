"""The module `files`."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from tests import disk
from tests.library.modules import play_module, run_module

MINE = {"owner": str(os.getuid()), "group": str(os.getgid())}


def run(*, check: bool = False, diff: bool = False, **wanted: object) -> tuple[int, dict[str, Any]]:
    """Run the module; return exit code and result."""
    return run_module("files", wanted, check=check, diff=diff)


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, Any]:
    """A directory with a file, a secret and a link to it."""
    top = tmp_path / "etc"
    return {
        "directories": [{"path": str(top / "example"), "mode": "0750", **MINE}],
        "files": [
            {"path": str(top / "example" / "settings"), "content": "a = 1\nb = 2\n", **MINE},
            {"path": str(top / "example" / "key"), "content": "hidden", "mode": "0600", "secret": True, **MINE},
        ],
        "links": [{"path": str(top / "link"), "target": "example/settings"}],
        "absent": [str(top / "old")],
    }


def test_second_run_changes_nothing(tmp_path: Path, wanted: dict[str, Any]) -> None:
    code, answer = run(**wanted)
    top = tmp_path / "etc"
    assert (code, answer["changed"]) == (0, True)
    assert (top / "example").stat().st_mode & 0o7777 == 0o750
    assert (top / "example" / "settings").read_text() == "a = 1\nb = 2\n"
    assert (top / "example" / "settings").stat().st_mode & 0o7777 == 0o644
    assert (top / "example" / "key").stat().st_mode & 0o7777 == 0o600
    assert (top / "link").read_text() == "a = 1\nb = 2\n"
    assert sorted(path.name for path in (top / "example").iterdir()) == ["key", "settings"]
    code, answer = run(**wanted)
    assert (code, answer["changed"], answer["paths"]) == (0, False, [])


def test_file_is_flushed_and_has_its_mode_before_it_is_renamed(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    before = os.umask(0)
    try:
        steps = disk.watch(monkeypatch)
        run(**wanted)
    finally:
        os.umask(before)
    assert [step.mode for step in disk.moved(steps)] == [0o644, 0o600]
    assert {step.mode for step in steps if step.call == "fsync"} == {0o600}


def test_ansible_runs_the_module(tmp_path: Path, wanted: dict[str, Any]) -> None:
    """Ansible itself passes check mode and diff to the module, and hides the secret."""
    code, answer = play_module("files", tmp_path, "--check", "--diff", wanted=wanted)
    assert (code, answer["changed"], (tmp_path / "etc").exists()) == (0, True, False)
    assert "+b = 2\n" in answer["diff"]["prepared"]
    assert "hidden" not in json.dumps(answer)
    assert play_module("files", tmp_path, wanted=wanted)[1]["changed"]
    assert not play_module("files", tmp_path, wanted=wanted)[1]["changed"]


def test_diff_shows_changes_except_secrets(tmp_path: Path, wanted: dict[str, Any]) -> None:
    run(**wanted)
    top = tmp_path / "etc"
    (top / "example" / "settings").write_text("a = 1\nb = 3\n")
    (top / "example" / "key").write_text("seen")
    (top / "example").chmod(0o777)
    (top / "old").touch()
    for arguments in ({"check": True, "diff": True}, {"diff": True}):
        code, answer = run(**arguments, **wanted)
        assert code == 0
        changed = [top / "example", top / "example" / "settings", top / "example" / "key", top / "old"]
        assert answer["paths"] == [str(path) for path in changed]
        assert "-b = 3\n+b = 2\n" in answer["diff"]["prepared"]
        assert "seen" not in json.dumps(answer)
        assert "hidden" not in json.dumps(answer)
    assert (top / "example" / "settings").read_text() == "a = 1\nb = 2\n"
    assert not (top / "old").exists()


def test_check_mode_changes_nothing(tmp_path: Path, wanted: dict[str, Any]) -> None:
    code, answer = run(check=True, **wanted)
    assert (code, answer["changed"]) == (0, True)
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("place", ["example", "example/settings", "link"])
def test_path_of_another_kind_is_not_replaced(tmp_path: Path, wanted: dict[str, Any], place: str) -> None:
    path = tmp_path / "etc" / place
    path.parent.mkdir(parents=True)
    if place == "example/settings":
        path.mkdir()
    else:
        path.write_text("kept")
    code, answer = run(**wanted)
    assert code != 0
    assert f"{path} is to be a" in answer["msg"]
    assert "move it away" in answer["msg"]
    assert path.is_dir() or path.read_text() == "kept"


def test_tree_contains_its_files_and_nothing_else(tmp_path: Path) -> None:
    """Other files, directories and links are removed, except for the names in `keep`."""
    top = tmp_path / "tree"
    tree = {"path": str(top), "files": {"a.py": "a = 1\n", "in/side/b.py": "", "in/c.py": "c\n"}, **MINE}
    wanted: dict[str, Any] = {"trees": [tree]}
    code, answer = run(check=True, **wanted)
    assert (code, answer["changed"], top.exists()) == (0, True, False)
    code, answer = run(diff=True, **wanted)
    assert (code, answer["changed"]) == (0, True)
    assert "a = 1" not in json.dumps(answer), "neither in the diff nor in the result"
    code, answer = run(**wanted)
    assert (code, answer["changed"]) == (0, False)

    (top / "a.py").unlink()
    (top / "a.py" / "deep").mkdir(parents=True)
    (top / "in" / "side" / "b.py").write_text("spoiled\n")
    (top / "in" / "c.py").chmod(0o600)
    (top / "old" / "__pycache__").mkdir(parents=True)
    (top / "in" / "__pycache__").mkdir()
    (top / "in" / "__pycache__" / "c.pyc").touch()
    (top / "link").symlink_to(top / "in")
    changed = ["a.py", "link", "old", "in/side/b.py", "in/c.py"]
    for arguments in ({"check": True, "diff": True}, {"diff": True}):
        code, answer = run(**arguments, **wanted)
        assert code == 0
        assert sorted(answer["paths"]) == sorted(str(top / name) for name in changed)
        assert "-spoiled\n" in answer["diff"]["prepared"]
    assert sorted(path.name for path in top.rglob("*")) == [
        "__pycache__", "a.py", "b.py", "c.py", "c.pyc", "in", "side",
    ]  # fmt: skip
    assert (top / "a.py").read_text() == "a = 1\n"
    assert (top / "in" / "c.py").stat().st_mode & 0o7777 == 0o644


def test_directory_may_be_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other disk"
    other.mkdir(mode=0o777)
    (tmp_path / "data").symlink_to(other)
    wanted: dict[str, Any] = {"directories": [{"path": str(tmp_path / "data"), "mode": "0750", **MINE}]}
    _, answer = run(**wanted)
    assert answer["paths"] == [str(tmp_path / "data")]
    assert other.stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "data").is_symlink()
    _, answer = run(**wanted)
    assert not answer["changed"]


def test_link_to_a_missing_target_is_refused(tmp_path: Path) -> None:
    """Otherwise a wrong time zone would be set silently."""
    code, answer = run(links=[{"path": str(tmp_path / "zone"), "target": "Europe/Berln"}])
    assert code != 0
    assert answer["msg"] == f"{tmp_path}/zone: there is no Europe/Berln to link to."


def test_only_paths_are_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _, message, **__: logged.append(message))
    content = f"SECRET_KEY={'s' * 32}\nSMTP_PASSWORD=hidden\n"
    run(files=[{"path": str(tmp_path / "env"), "content": content, **MINE}])
    assert (tmp_path / "env").read_text() == content
    assert logged == [f"Invoked for {tmp_path}/env"]


def test_failed_write_is_reported_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("before")
    code, answer = run(files=[{"path": str(path), "content": "after", "owner": "nobody-of-this-name"}])
    assert code != 0
    assert "nobody-of-this-name" in answer["msg"]
    assert path.read_text() == "before"
    code, answer = run(files=[{"path": str(tmp_path / "nowhere" / "file"), "content": "x", **MINE}])
    assert code != 0
    assert answer["msg"] == f"{tmp_path}/nowhere/file: No such file or directory"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".new-")] == []


@pytest.mark.parametrize(
    ("content", "started", "outdated"),
    [
        ("a", "", False),
        ("a", "Thu 2026-11-26 09:00:00.000001 UTC", False),
        ("a", "Thu 2026-11-26 08:59:59.999999 UTC", True),
        ("b", "Thu 2026-11-26 09:00:00.000001 UTC", True),
    ],
    ids=["never-started", "later", "before-the-last-change", "before-this-change"],
)
def test_outdated_process_is_detected(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    started: str,
    *,
    outdated: bool,
) -> None:
    """Also after changes by hand, or by an interrupted run."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\n[ $5 = example.service ] && echo {started}\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file = tmp_path / "tree" / "code.py"
    file.parent.mkdir()
    file.write_text("a")
    changed_at = datetime(2026, 11, 26, 9, tzinfo=UTC).timestamp()
    os.utime(file, (changed_at, changed_at))
    tree = {"path": str(file.parent), "files": {file.name: content}, **MINE}
    for check in (True, False):
        _, answer = run(trees=[tree], read_by="example.service", check=check)
        assert (answer["changed"], answer["outdated"]) == (content == "b", outdated)


def test_content_that_fails_validation_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    file = {"path": str(path), "content": "good\n", "mode": "0600", "validate": "grep -q good %s", **MINE}
    assert run(files=[file])[1]["changed"] is True
    _, answer = run(files=[file | {"content": "bad\n", "validate": "sh -c 'echo it is bad >&2; exit 2'"}])
    assert answer["failed"] is True
    assert (answer["msg"], answer["paths"]) == (f"{path} is unchanged: it is bad", [])
    assert path.read_text() == "good\n"
    assert [each.name for each in tmp_path.iterdir()] == ["settings"]
    assert run(files=[file | {"content": "bad\n"}], check=True)[1]["changed"] is True
