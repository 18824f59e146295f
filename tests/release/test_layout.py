"""Installing, saving and restoring the file sets of releases."""

from pathlib import Path

import pytest
from cleaning_service_host.files import read_json, write_atomically
from cleaning_service_release.cli import EXIT_SUPERSEDED, main
from cleaning_service_release.errors import SupersededError
from cleaning_service_release.layout import Layout, digest

from library import files
from tests import disk
from tests.release.conftest import write_set


def test_superseded_file_set_is_refused(layout: Layout) -> None:
    mine = digest(layout.wanted)
    assert digest(layout.copy_wanted(mine)) == mine
    write_set(layout.wanted, "theirs")
    with pytest.raises(SupersededError, match="another run of the playbook has prepared"):
        layout.copy_wanted(mine)
    with pytest.raises(SupersededError):
        layout.require_digest(layout.wanted, mine)
    assert digest(layout.copy_wanted("")) == digest(layout.wanted), "an operator on the server accepts any"


def test_playbook_and_server_agree_on_the_digest(layout: Layout) -> None:
    assert files.digest(layout.wanted) == digest(layout.wanted)
    (layout.wanted / "pages" / "away.html").write_text("another one")
    assert files.digest(layout.wanted) == digest(layout.wanted)


def test_exit_code_of_a_superseded_release(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["plan"], ["apply", "--here"]):
        assert main(["--directory", str(layout.directory), *command, "--expect", "0" * 64]) == EXIT_SUPERSEDED
        assert "this run's do not" in capsys.readouterr().err


def test_install_on_a_new_server(layout: Layout) -> None:
    assert not layout.is_installed()
    assert len(layout.changed_paths(layout.wanted)) == 5
    layout.install(layout.wanted)
    assert layout.is_installed()
    assert layout.changed_paths(layout.wanted) == []
    assert (layout.directory / "proxy/config/pages/away.html").read_text() == "new"
    assert layout.env_file.stat().st_mode & 0o777 == 0o600


def test_file_set_is_flushed_before_it_is_installed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = disk.watch(monkeypatch)
    layout.install(layout.wanted)
    assert len(disk.moved(steps)) == 4
    assert len([step for step in steps if step.call == "fsync"]) == 5  # one more file is in a directory


def test_previous_file_set_is_restored(layout: Layout) -> None:
    layout.install(layout.wanted)
    layout.save_installed(layout.previous)
    write_set(layout.wanted, "bad")
    (layout.wanted / "certificate.pem").write_text("mine")
    (layout.wanted / "pages" / "extra.html").write_text("more")
    layout.install(layout.wanted)
    assert (layout.directory / "proxy/config/certificate.pem").exists()
    layout.install(layout.previous)
    assert layout.changed_paths(layout.previous) == []
    assert not (layout.directory / "proxy/config/certificate.pem").exists()
    assert sorted(path.name for path in (layout.directory / "proxy/config/pages").iterdir()) == ["away.html"]
    assert not list(layout.directory.rglob("*.new"))


def test_rollback_keeps_a_renewed_certificate(layout: Layout) -> None:
    names = ("certificate.pem", "certificate-key.pem")
    for name in names:
        (layout.wanted / name).write_text("old")
    layout.install(layout.wanted)
    layout.save_installed(layout.previous)
    assert set(layout.renewed_certificate(layout.previous)) == set(names)
    for name in names:
        (layout.wanted / name).write_text("renewed")
    layout.install(layout.wanted)
    layout.install(layout.previous, skip=layout.renewed_certificate(layout.previous))
    assert (layout.directory / "proxy/config/certificate.pem").read_text() == "renewed"
    (layout.previous / "Caddyfile").write_text("another domain")
    assert not layout.renewed_certificate(layout.previous)
    (layout.previous / "Caddyfile").write_text("new")
    (layout.previous / names[0]).unlink()
    assert not layout.renewed_certificate(layout.previous), "the release has no certificate"


def test_changed_paths(layout: Layout) -> None:
    layout.install(layout.wanted)
    layout.env_file.write_text("REQUEST_TIMEOUT=3000")
    assert layout.changed_paths(layout.wanted) == [".env"]


def test_remains_of_an_interrupted_copy_are_replaced(layout: Layout) -> None:
    left = layout.directory / "proxy/config/pages.new"
    left.mkdir()
    (left / "half.html").write_text("half")
    layout.install(layout.wanted)
    assert sorted(path.name for path in (layout.directory / "proxy/config/pages").iterdir()) == ["away.html"]
    half = layout.releases / "previous.new"
    half.mkdir()
    (half / "env").write_text("half")
    layout.save_installed(layout.previous)
    assert (layout.previous / "env").read_text() == (layout.wanted / "env").read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_damaged_json_file_reads_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "note.json"
    path.write_text(text)
    assert read_json(path) == {}
    assert read_json(tmp_path / "none.json") == {}
    write_atomically(path, {"by": "me"})
    assert read_json(path) == {"by": "me"}


def test_monitor_config_is_restored_with_its_release(layout: Layout) -> None:
    monitor = layout.directory / "monitor.json"
    old = write_set(layout.releases / "old", "old")
    assert not layout.restore_monitor_config(old), "without a saved one, nothing changes"
    write_atomically(
        monitor, {"components": ["api", "api_2"], "host": {"certificate_name": "a"}, "alerts": {"host": "old"}}
    )
    layout.save_monitor_config(old)
    assert not layout.restore_monitor_config(old), "nothing differs"
    write_atomically(monitor, {"components": ["api"], "host": {"disk_full_percent": 95}, "alerts": {"host": "new"}})
    assert layout.restore_monitor_config(old)
    assert read_json(monitor) == {
        "components": ["api", "api_2"],
        "host": {"disk_full_percent": 95, "certificate_name": "a"},
        "alerts": {"host": "new"},  # alerts must not go to a former channel
    }
    layout.save_monitor_config(layout.releases / "missing")
    assert not (layout.releases / "missing").exists()
