"""Sets of files move into their places whole, and back."""

from pathlib import Path

import pytest
from cleaning_service_host.files import read_json, write_atomically
from cleaning_service_release.cli import SUPERSEDED, main
from cleaning_service_release.errors import SupersededError
from cleaning_service_release.layout import Layout, digest

from library import files
from tests import disk
from tests.release.conftest import write_set


def test_what_somebody_else_has_prepared_since_is_not_taken(layout: Layout) -> None:
    mine = digest(layout.wanted)
    assert digest(layout.take(mine)) == mine
    write_set(layout.wanted, "theirs")
    with pytest.raises(SupersededError, match="another run of the playbook has prepared"):
        layout.take(mine)
    with pytest.raises(SupersededError):
        layout.require(layout.wanted, mine)
    assert digest(layout.take("")) == digest(layout.wanted), "by hand on the server: whatever is there"


def test_playbook_and_server_agree_on_the_digest(layout: Layout) -> None:
    assert files.digest(layout.wanted) == digest(layout.wanted)
    (layout.wanted / "pages" / "away.html").write_text("another one")
    assert files.digest(layout.wanted) == digest(layout.wanted)


def test_on_the_command_line_it_has_an_exit_code_of_its_own(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["plan"], ["apply", "--here"]):
        assert main(["--directory", str(layout.directory), *command, "--expect", "0" * 64]) == SUPERSEDED
        assert "this run's do not" in capsys.readouterr().err


def test_a_new_server_gets_all(layout: Layout) -> None:
    assert not layout.in_place()
    assert len(layout.differing(layout.wanted)) == 5
    layout.put(layout.wanted)
    assert layout.in_place()
    assert layout.differing(layout.wanted) == []
    assert (layout.directory / "proxy/config/pages/away.html").read_text() == "new"
    assert layout.env_file.stat().st_mode & 0o777 == 0o600


def test_a_set_is_on_the_disk_before_its_names(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = disk.watch(monkeypatch)
    layout.put(layout.wanted)
    assert len(disk.moved(steps)) == 4
    assert len([step for step in steps if step.call == "fsync"]) == 5  # one more file is in a directory


def test_what_ran_before_comes_back(layout: Layout) -> None:
    layout.put(layout.wanted)
    layout.keep(layout.previous)
    write_set(layout.wanted, "bad")
    (layout.wanted / "certificate.pem").write_text("mine")
    (layout.wanted / "pages" / "extra.html").write_text("more")
    layout.put(layout.wanted)
    assert (layout.directory / "proxy/config/certificate.pem").exists()
    layout.put(layout.previous)
    assert layout.differing(layout.previous) == []
    assert not (layout.directory / "proxy/config/certificate.pem").exists()
    assert sorted(path.name for path in (layout.directory / "proxy/config/pages").iterdir()) == ["away.html"]
    assert not list(layout.directory.rglob("*.new"))


def test_a_rollback_leaves_a_renewed_certificate(layout: Layout) -> None:
    names = ("certificate.pem", "certificate-key.pem")
    for name in names:
        (layout.wanted / name).write_text("old")
    layout.put(layout.wanted)
    layout.keep(layout.previous)
    assert set(layout.renewed(layout.previous)) == set(names)
    for name in names:
        (layout.wanted / name).write_text("renewed")
    layout.put(layout.wanted)
    layout.put(layout.previous, but=layout.renewed(layout.previous))
    assert (layout.directory / "proxy/config/certificate.pem").read_text() == "renewed"
    (layout.previous / "Caddyfile").write_text("another domain")
    assert not layout.renewed(layout.previous)
    (layout.previous / "Caddyfile").write_text("new")
    (layout.previous / names[0]).unlink()
    assert not layout.renewed(layout.previous), "it has none to be renewed"


def test_a_change_of_one_file_is_that_of_one_place(layout: Layout) -> None:
    layout.put(layout.wanted)
    layout.env_file.write_text("REQUEST_TIMEOUT=3000")
    assert layout.differing(layout.wanted) == [".env"]


def test_what_an_interrupted_copy_left_is_no_obstacle(layout: Layout) -> None:
    left = layout.directory / "proxy/config/pages.new"
    left.mkdir()
    (left / "half.html").write_text("half")
    layout.put(layout.wanted)
    assert sorted(path.name for path in (layout.directory / "proxy/config/pages").iterdir()) == ["away.html"]
    half = layout.releases / "previous.new"
    half.mkdir()
    (half / "env").write_text("half")
    layout.keep(layout.previous)
    assert (layout.previous / "env").read_text() == (layout.wanted / "env").read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_note_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "note.json"
    path.write_text(text)
    assert read_json(path) == {}
    assert read_json(tmp_path / "none.json") == {}
    write_atomically(path, {"by": "me"})
    assert read_json(path) == {"by": "me"}


def test_what_the_monitor_watched_comes_back_with_its_release(layout: Layout) -> None:
    monitor = layout.directory / "monitor.json"
    old = write_set(layout.releases / "old", "old")
    assert not layout.put_monitor(old), "a set without it leaves it as it is"
    write_atomically(
        monitor, {"components": ["api", "api_2"], "host": {"certificate_name": "a"}, "alerts": {"host": "old"}}
    )
    layout.remember_monitor(old)
    assert not layout.put_monitor(old), "it is the same"
    write_atomically(monitor, {"components": ["api"], "host": {"disk_full_percent": 95}, "alerts": {"host": "new"}})
    assert layout.put_monitor(old)
    assert read_json(monitor) == {
        "components": ["api", "api_2"],
        "host": {"disk_full_percent": 95, "certificate_name": "a"},
        "alerts": {"host": "new"},  # an alert must not go where nobody reads it any more
    }
    layout.remember_monitor(layout.releases / "missing")
    assert not (layout.releases / "missing").exists()
