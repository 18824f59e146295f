"""The module `json_settings`, carried out by Ansible on this machine where it matters how."""

import json
from pathlib import Path
from typing import Any

import pytest

from library import json_settings
from library.json_settings import ConflictError, merge
from tests.library.test_files import carry_out

PATH = Path("/etc/docker/daemon.json")
LIVE = {"key": "live-restore", "value": True, "hint": "set docker_live_restore to false", "checked": False}
RULES = {"key": "ip6tables", "value": True, "hint": "", "checked": False}
CHECKED = {"key": "iptables", "value": True, "hint": "", "checked": True}
THEIRS = {"bip": "172.29.250.1/24", "dns": ["192.0.2.1"], "data-root": "/srv/docker", "log-driver": "journald"}


def settled(found: dict[str, Any], *settings: dict[str, Any], ours: dict[str, Any] | None = None) -> tuple[Any, Any]:
    return merge(found, ours or {}, settings, PATH)


def test_settings_of_others_stay_and_ours_come_last() -> None:
    wanted, ours = settled(THEIRS, LIVE, RULES, CHECKED)
    assert wanted == {**THEIRS, "live-restore": True, "ip6tables": True}
    assert list(wanted) == [*THEIRS, "live-restore", "ip6tables"]
    assert ours == {"live-restore": True, "ip6tables": True}
    assert settled(wanted, LIVE, RULES, CHECKED, ours=ours) == (wanted, ours)


def test_what_is_there_already_is_not_ours() -> None:
    found = {**THEIRS, "live-restore": True}
    wanted, ours = settled(found, LIVE)
    assert (wanted, ours) == (found, {})
    assert settled(wanted, ours=ours) == (found, {}), "nor removed at the end"


def test_our_own_value_can_change_and_go() -> None:
    _, ours = settled(THEIRS, LIVE, RULES)
    found = {**THEIRS, **ours}
    changed, ours = settled(found, {**LIVE, "value": False}, ours=ours)
    assert changed == {**THEIRS, "live-restore": False}
    assert settled(changed, ours=ours) == (THEIRS, {})


def test_what_somebody_has_changed_since_is_theirs() -> None:
    found = {**THEIRS, "live-restore": False}
    assert settled(found, ours={"live-restore": True}) == (found, {})
    with pytest.raises(ConflictError, match="sets live-restore to false, and this service needs true"):
        settled(found, LIVE, ours={"live-restore": True})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"live-restore": False}, "remove it there, or set docker_live_restore to false."),
        ({"iptables": False}, "/etc/docker/daemon.json sets iptables to false, and this service needs true"),
    ],
)
def test_a_contradiction_is_refused(found: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConflictError) as refused:
        settled({**THEIRS, **found}, LIVE, RULES, CHECKED)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "not valid JSON"), ("[]", "not a JSON object"), ("\xff", "not a text file")]
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConflictError, match=sentence):
        json_settings.read(path)
    path.write_text("")
    assert json_settings.read(path) == {}
    assert json_settings.read(tmp_path / "missing") == {}


def test_from_a_host_with_settings_to_ours_and_back(tmp_path: Path) -> None:
    path, record = tmp_path / "etc" / "daemon.json", tmp_path / "etc" / "ours.json"
    path.parent.mkdir()
    path.write_text(original := '{"bip":"172.29.250.1/24"}')
    path.chmod(0o640)
    wanted: dict[str, Any] = {"path": str(path), "record": str(record), "settings": [LIVE, CHECKED]}
    code, answer = carry_out("json_settings", tmp_path, "--check", "--diff", wanted=wanted)
    assert (code, answer["changed"], answer["keys"]) == (0, True, ["live-restore"])
    assert '"live-restore": true' in answer["diff"]["after"]
    assert (path.read_text(), record.exists()) == (original, False)
    carry_out("json_settings", tmp_path, wanted=wanted)
    assert json.loads(path.read_text()) == {"bip": "172.29.250.1/24", "live-restore": True}
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_text(again := json.dumps(json.loads(path.read_text())))  # the same in other words
    code, answer = carry_out("json_settings", tmp_path, wanted=wanted)
    assert (code, answer["changed"], path.read_text()) == (0, False, again)
    code, answer = carry_out("json_settings", tmp_path, wanted={**wanted, "settings": []})
    assert (code, answer["keys"]) == (0, ["live-restore"])
    assert (json.loads(path.read_text()), record.exists()) == (json.loads(original), False)


def test_a_file_of_our_own_goes_with_its_last_setting(tmp_path: Path) -> None:
    path, record = tmp_path / "docker" / "daemon.json", tmp_path / "docker" / "ours.json"
    wanted: dict[str, Any] = {"path": str(path), "record": str(record), "settings": [LIVE]}
    carry_out("json_settings", tmp_path, wanted=wanted)
    assert json.loads(path.read_text()) == json.loads(record.read_text()) == {"live-restore": True}
    carry_out("json_settings", tmp_path, wanted={**wanted, "settings": []})
    assert list(path.parent.iterdir()) == []
