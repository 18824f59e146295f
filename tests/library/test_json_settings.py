"""The module `json_settings`, by itself and by Ansible."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from library import json_settings
from library.json_settings import ConflictError, merge
from tests import disk
from tests.library.modules import play_module, run_module

PATH = Path("/etc/docker/daemon.json")
LIVE = {"key": "live-restore", "value": True, "hint": "set docker_live_restore to false", "checked": False}
RULES = {"key": "ip6tables", "value": True, "hint": "", "checked": False}
CHECKED = {"key": "iptables", "value": True, "hint": "", "checked": True}
OTHERS = {"bip": "172.29.250.1/24", "dns": ["192.0.2.1"], "data-root": "/srv/docker", "log-driver": "journald"}


def merged(found: dict[str, Any], *settings: dict[str, Any], recorded: dict[str, Any] | None = None) -> tuple[Any, Any]:
    return merge(found, recorded or {}, settings, PATH)


def test_other_settings_stay_and_new_ones_come_last() -> None:
    wanted, recorded = merged(OTHERS, LIVE, RULES, CHECKED)
    assert wanted == {**OTHERS, "live-restore": True, "ip6tables": True}
    assert list(wanted) == [*OTHERS, "live-restore", "ip6tables"]
    assert recorded == {"live-restore": True, "ip6tables": True}
    assert merged(wanted, LIVE, RULES, CHECKED, recorded=recorded) == (wanted, recorded)


def test_existing_setting_is_not_managed() -> None:
    found = {**OTHERS, "live-restore": True}
    wanted, recorded = merged(found, LIVE)
    assert (wanted, recorded) == (found, {})
    assert merged(wanted, recorded=recorded) == (found, {}), "nor removed later"


def test_managed_setting_can_be_changed_and_removed() -> None:
    _, recorded = merged(OTHERS, LIVE, RULES)
    found = {**OTHERS, **recorded}
    changed, recorded = merged(found, {**LIVE, "value": False}, recorded=recorded)
    assert changed == {**OTHERS, "live-restore": False}
    assert merged(changed, recorded=recorded) == (OTHERS, {})


def test_edited_setting_is_no_longer_managed() -> None:
    found = {**OTHERS, "live-restore": False}
    assert merged(found, recorded={"live-restore": True}) == (found, {})
    with pytest.raises(ConflictError, match="sets live-restore to false, and this service needs true"):
        merged(found, LIVE, recorded={"live-restore": True})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"live-restore": False}, "remove it there, or set docker_live_restore to false."),
        ({"iptables": False}, "/etc/docker/daemon.json sets iptables to false, and this service needs true"),
    ],
)
def test_conflict_is_refused(found: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConflictError) as refused:
        merged({**OTHERS, **found}, LIVE, RULES, CHECKED)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "not valid JSON"), ("[]", "not a JSON object"), ("\xff", "not a text file")]
)
def test_invalid_file_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConflictError, match=sentence):
        json_settings.read(path)
    path.write_text("")
    assert json_settings.read(path) == {}
    assert json_settings.read(tmp_path / "missing") == {}


def test_adding_and_removing_settings(tmp_path: Path) -> None:
    path, record = tmp_path / "etc" / "daemon.json", tmp_path / "etc" / "record.json"
    path.parent.mkdir()
    path.write_text(original := '{"bip":"172.29.250.1/24"}')
    path.chmod(0o640)
    wanted: dict[str, Any] = {"path": str(path), "record": str(record), "settings": [LIVE, CHECKED]}
    code, answer = play_module("json_settings", tmp_path, "--check", "--diff", wanted=wanted)
    assert (code, answer["changed"], answer["keys"]) == (0, True, ["live-restore"])
    assert '"live-restore": true' in answer["diff"]["after"]
    assert (path.read_text(), record.exists()) == (original, False)
    run_module("json_settings", wanted)
    assert json.loads(path.read_text()) == {"bip": "172.29.250.1/24", "live-restore": True}
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_text(again := json.dumps(json.loads(path.read_text())))  # the same settings in another format
    code, answer = run_module("json_settings", wanted)
    assert (code, answer["changed"], path.read_text()) == (0, False, again)
    code, answer = run_module("json_settings", {**wanted, "settings": []})
    assert (code, answer["keys"]) == (0, ["live-restore"])
    assert (json.loads(path.read_text()), record.exists()) == (json.loads(original), False)


def test_settings_are_flushed_before_the_file_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "daemon.json"
    path.write_text("{}")
    steps = disk.watch(monkeypatch)
    json_settings.replace(SimpleNamespace(atomic_move=os.rename), path, "{ }")
    assert len(disk.moved(steps)) == 1
    assert path.read_text() == "{ }"


def test_file_is_removed_with_its_last_setting(tmp_path: Path) -> None:
    path, record = tmp_path / "docker" / "daemon.json", tmp_path / "docker" / "record.json"
    wanted: dict[str, Any] = {"path": str(path), "record": str(record), "settings": [LIVE]}
    run_module("json_settings", wanted)
    assert json.loads(path.read_text()) == json.loads(record.read_text()) == {"live-restore": True}
    run_module("json_settings", {**wanted, "settings": []})
    assert list(path.parent.iterdir()) == []
