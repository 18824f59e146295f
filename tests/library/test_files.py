"""The module `files`, run by Ansible on this machine."""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).parents[2]
MINE = {"owner": str(os.getuid()), "group": str(os.getgid())}


def run(directory: Path, *arguments: str, **wanted: object) -> tuple[int, dict[str, Any]]:
    """Run the module with Ansible."""
    return run_module("files", directory, *arguments, wanted=wanted)


def run_module(
    module: str, directory: Path, *arguments: str, wanted: Mapping[str, object]
) -> tuple[int, dict[str, Any]]:
    """Run a module with Ansible; return the exit code and the module's result."""
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "tasks": [{module: wanted}],
        }
    ]
    path = directory / "play.json"
    path.write_text(json.dumps(play))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", "localhost,", *arguments, str(path)],
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LIBRARY": str(ROOT / "library"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return done.returncode, answer


def run_in_process(**wanted: object) -> dict[str, Any]:
    """Run the module in this process, which is faster; return its result."""
    spec = importlib.util.spec_from_file_location("files", ROOT / "library" / "files.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    output = io.StringIO()
    with patch_module_args(wanted), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, object]:
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


def test_second_run_changes_nothing(tmp_path: Path, wanted: dict[str, object]) -> None:
    code, answer = run(tmp_path, **wanted)
    top = tmp_path / "etc"
    assert (code, answer["changed"]) == (0, True)
    assert (top / "example").stat().st_mode & 0o7777 == 0o750
    assert (top / "example" / "settings").read_text() == "a = 1\nb = 2\n"
    assert (top / "example" / "settings").stat().st_mode & 0o7777 == 0o644
    assert (top / "example" / "key").stat().st_mode & 0o7777 == 0o600
    assert (top / "link").read_text() == "a = 1\nb = 2\n"
    assert sorted(path.name for path in (top / "example").iterdir()) == ["key", "settings"]
    code, answer = run(tmp_path, **wanted)
    assert (code, answer["changed"], answer["paths"]) == (0, False, [])


def test_diff_shows_changes_except_secrets(tmp_path: Path, wanted: dict[str, object]) -> None:
    run(tmp_path, **wanted)
    top = tmp_path / "etc"
    (top / "example" / "settings").write_text("a = 1\nb = 3\n")
    (top / "example" / "key").write_text("seen")
    (top / "example").chmod(0o777)
    (top / "old").touch()
    for arguments in (["--check", "--diff"], ["--diff"]):
        code, answer = run(tmp_path, *arguments, **wanted)
        assert code == 0
        changed = [top / "example", top / "example" / "settings", top / "example" / "key", top / "old"]
        assert answer["paths"] == [str(path) for path in changed]
        assert "-b = 3\n+b = 2\n" in answer["diff"]["prepared"]
        assert "seen" not in json.dumps(answer)
        assert "hidden" not in json.dumps(answer)
    assert (top / "example" / "settings").read_text() == "a = 1\nb = 2\n"
    assert not (top / "old").exists()


def test_check_mode_changes_nothing(tmp_path: Path, wanted: dict[str, object]) -> None:
    code, answer = run(tmp_path, "--check", **wanted)
    assert (code, answer["changed"]) == (0, True)
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("place", ["example", "example/settings", "link"])
def test_path_of_another_kind_is_not_replaced(tmp_path: Path, wanted: dict[str, object], place: str) -> None:
    path = tmp_path / "etc" / place
    path.parent.mkdir(parents=True)
    if place == "example/settings":
        path.mkdir()
    else:
        path.write_text("kept")
    code, answer = run(tmp_path, **wanted)
    assert code != 0
    assert f"{path} is to be a" in answer["msg"]
    assert "move it away" in answer["msg"]
    assert path.is_dir() or path.read_text() == "kept"


def test_tree_contains_its_files_and_nothing_else(tmp_path: Path) -> None:
    """Other files, directories and links are removed, except for the names in `keep`."""
    top = tmp_path / "tree"
    wanted = {"trees": [{"path": str(top), "files": {"a.py": "a = 1\n", "in/side/b.py": "", "in/c.py": "c\n"}, **MINE}]}
    code, answer = run(tmp_path, "--check", **wanted)
    assert (code, answer["changed"], top.exists()) == (0, True, False)
    code, answer = run(tmp_path, "--diff", **wanted)
    assert (code, answer["changed"]) == (0, True)
    assert "a = 1" not in json.dumps(answer), "neither in the diff nor in the result"
    code, answer = run(tmp_path, **wanted)
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
    for arguments in (["--check", "--diff"], ["--diff"]):
        code, answer = run(tmp_path, *arguments, **wanted)
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
    wanted = {"directories": [{"path": str(tmp_path / "data"), "mode": "0750", **MINE}]}
    _, answer = run(tmp_path, **wanted)
    assert answer["paths"] == [str(tmp_path / "data")]
    assert other.stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "data").is_symlink()
    _, answer = run(tmp_path, **wanted)
    assert not answer["changed"]


def test_link_to_a_missing_target_is_refused(tmp_path: Path) -> None:
    """Otherwise a wrong time zone would be set silently."""
    code, answer = run(tmp_path, links=[{"path": str(tmp_path / "zone"), "target": "Europe/Berln"}])
    assert code != 0
    assert answer["msg"] == f"{tmp_path}/zone: there is no Europe/Berln to link to."


def test_only_paths_are_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _, message, **__: logged.append(message))
    content = f"SECRET_KEY={'s' * 32}\nSMTP_PASSWORD=hidden\n"
    run_in_process(files=[{"path": str(tmp_path / "env"), "content": content, **MINE}])
    assert (tmp_path / "env").read_text() == content
    assert logged == [f"Invoked for {tmp_path}/env"]


def test_failed_write_is_reported_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("before")
    code, answer = run(tmp_path, files=[{"path": str(path), "content": "after", "owner": "nobody-of-this-name"}])
    assert code != 0
    assert "nobody-of-this-name" in answer["msg"]
    assert path.read_text() == "before"
    code, answer = run(tmp_path, files=[{"path": str(tmp_path / "nowhere" / "file"), "content": "x", **MINE}])
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
        answer = run_in_process(trees=[tree], read_by="example.service", _ansible_check_mode=check)
        assert (answer["changed"], answer["outdated"]) == (content == "b", outdated)


def test_content_that_fails_validation_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    file = {"path": str(path), "content": "good\n", "mode": "0600", "validate": "grep -q good %s", **MINE}
    assert run_in_process(files=[file])["changed"] is True
    answer = run_in_process(files=[file | {"content": "bad\n", "validate": "sh -c 'echo it is bad >&2; exit 2'"}])
    assert answer["failed"] is True
    assert (answer["msg"], answer["paths"]) == (f"{path} is unchanged: it is bad", [])
    assert path.read_text() == "good\n"
    assert [each.name for each in tmp_path.iterdir()] == ["settings"]
    assert run_in_process(files=[file | {"content": "bad\n"}], _ansible_check_mode=True)["changed"] is True
