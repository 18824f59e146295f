"""The command line: exit codes, and sentences instead of tracebacks."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_backup import cli
from cleaning_service_backup.cli import BUSY, FAILED, OK, PERSON, USAGE, main
from cleaning_service_backup.place import Place
from cleaning_service_backup.restore import Exchange, Restorer
from cleaning_service_backup.status import Status, age, told
from cleaning_service_release.errors import BusyError, RevertFailedError
from cleaning_service_release.release import Releaser

from tests.backup.conftest import ROOT, Site
from tests.backup.database import accounts
from tests.backup.fastkeys import KEY


@pytest.fixture
def ready(site: Site) -> Site:
    """A server with its settings written."""
    site.write_settings()
    return site


def call(site: Site, *arguments: str) -> int:
    return main(["--directory", str(site.settings.directory), *arguments])


def test_from_the_first_backup_to_its_status(ready: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, "make") == OK
    assert capsys.readouterr().out == "made the local repository\n"
    assert call(ready, "make") == OK
    assert capsys.readouterr().out == "unchanged\n"
    assert call(ready, "status") == OK
    assert capsys.readouterr().out.startswith("local: no backup yet\nnot proven yet: `cleaning-service-backup drill`")
    assert call(ready, "run") == OK
    assert "local: kept in " in capsys.readouterr().out
    assert call(ready, "maintain") == OK
    assert "a registration rehearsed" in capsys.readouterr().out
    assert call(ready, "status") == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("local: 1 backups, the newest of ")
    assert lines[1].startswith("local: last proven ")
    assert call(ready, "status", "--json") == OK
    assert json.loads(capsys.readouterr().out)["repositories"][0]["snapshots"] == 1
    assert call(ready, "list", "--json") == OK
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["id"] == ready.repository().backups()[0].id
    assert call(ready, "restore", "--check", "--snapshot", listed["id"]) == OK
    assert f"would fetch the backup {listed['id']}" in capsys.readouterr().out


def test_what_failed_is_in_the_status_and_in_the_exit_code(
    ready: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(ready, "make")
    shutil.rmtree(tmp_path / "local")
    assert call(ready, "run") == FAILED
    assert call(ready, "list") == FAILED
    assert call(ready, "drill") == FAILED
    capsys.readouterr()
    assert call(ready, "status") == FAILED
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("local: FAILED: the local repository: unable to open config file")
    assert lines[2].startswith("local: the drill of ")
    assert "FAILED: nothing can be restored" in lines[2]


def test_settings_that_are_missing_or_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--directory", str(tmp_path), "status"]) == FAILED
    assert "backup.json: No such file or directory; run the playbook site.yml" in capsys.readouterr().err
    for text in ("{", "{}", "[]", '{"directory": 1}', "\x00"):
        (tmp_path / "backup.json").write_text(text)
        assert main(["--directory", str(tmp_path), "status"]) == FAILED
        assert "backup.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["2026-11-20 14:00", "2026-11-20 14:00:00", "2026-11-20T14:00", "2026-11-20T14:00:00Z", "1795183200"]
)
def test_moments_are_read(text: str) -> None:
    assert cli._moment(text) == 1_795_183_200.0


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01 00:00", "14:00", "", "nan", "12"])
def test_wrong_moments_are_refused(ready: Site, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(ready, "restore", "--at", text)
    assert ended.value.code == USAGE
    assert f'"{text}" is no moment such as "2026-11-20 14:00" (UTC)' in capsys.readouterr().err


def test_a_wrong_command_does_not_ask_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["rin"], ["restore", "--from", "elsewhere"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == USAGE
    assert "usage: " in capsys.readouterr().err


def test_who_is_at_work_is_said_when_it_does_not_end(
    ready: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vars(Place)["locked"].__wrapped__, "__defaults__", (0.1,))
    with ready.place.locked("restore", ready.said.append):
        assert call(ready, "run") == BUSY
    assert f"a restore (process {os.getpid()}) is under way" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ending",
    [
        (RevertFailedError("the API is down", ["last line"]), PERSON, "the API is down\n  last line\n"),
        (BusyError("another release"), BUSY, "another release\n"),
        (PermissionError(13, "Permission denied", "/etc/x"), FAILED, "/etc/x: Permission denied\n"),
    ],
)
def test_how_a_restore_ends_is_its_exit_code(
    ready: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: tuple[Exception, int, str],
) -> None:
    error, code, sentence = ending

    def restore(*_: object) -> None:
        raise error

    monkeypatch.setattr(Restorer, "restore", restore)
    assert call(ready, "restore", "--here") == code
    assert capsys.readouterr().err == sentence


def test_an_interrupted_restore_is_taken_back(
    ready: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(ready, "recover") == OK
    assert capsys.readouterr().out == ""
    ready.connection.close()
    before, new = ready.database.read_bytes(), ready.top / "new"
    new.write_bytes(b"half")
    Exchange(ready.place, new, "20261129T000000Z", None, ready.said.append).put()
    backs: list[str] = []

    def revert_data(_: Releaser, undo: Any, by: str, *, begun: bool) -> None:  # noqa: ANN401
        assert begun
        backs.append(by)
        undo()

    monkeypatch.setattr(Releaser, "revert_data", revert_data)
    monkeypatch.setenv("SERVICE_RESULT", "timeout")
    assert call(ready, "recover") == OK
    assert backs == ["recovery"], "what runs is stopped meanwhile"
    assert ready.database.read_bytes() == before
    assert "the data of before are back" in capsys.readouterr().out


def test_export_goes_to_where_the_caller_is(
    ready: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEANING_SERVICE_CALLED_FROM", str(tmp_path))
    assert call(ready, "export", "mine.db") == OK
    assert accounts(tmp_path / "mine.db") == 4
    assert call(ready, "export", "mine.db") == FAILED
    assert "mine.db exists already" in capsys.readouterr().err


def test_the_key_comes_by_standard_input(
    ready: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    assert call(ready, "change-key") == OK
    assert capsys.readouterr().out == "unchanged\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("short"))
    assert call(ready, "change-key") == FAILED


def test_one_that_is_told_to_end_leaves_nothing_behind(ready: Site) -> None:
    """In a process of its own: SIGTERM comes while it copies."""
    docker = ready.top / "programs" / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = rm ] && exit 0\nexec sleep 30\n')
    paths = os.pathsep.join(str(ROOT / "roles" / role / "files") for role in ("backup", "stack"))
    running = subprocess.Popen(
        [sys.executable, "-m", "cleaning_service_backup", "--directory", str(ready.settings.directory), "run"],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not ready.place.staging.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.terminate()
    _, said = running.communicate(timeout=20)
    assert running.returncode == FAILED
    assert said.decode() == "it was told to end\n"
    assert not ready.place.staging.exists()
    assert ready.status()["failure"] == "it was told to end"


def test_a_replica_is_told_too(site: Site) -> None:
    found = {**Status(site.place.status, site.settings).read(), "replica": {"set": True}}
    assert told(found, {}, 0.0)[0][-1] == "replica: FAILED: nobody has looked at it yet"
    assert told(found, {"behind": 3}, 0.0)[0][-1] == "replica: 3 s behind"
    assert [age(seconds) for seconds in (-5, 119, 121, 7300, 200_000)] == [
        "0 s",
        "119 s",
        "2 minutes",
        "2 hours",
        "2 days",
    ]
