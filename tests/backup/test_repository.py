"""A repository: made once, opened by its key alone, in its own order, and without its secrets in sight."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.repository import Repository
from cleaning_service_backup.settings import Keep, RepositorySettings
from cleaning_service_host.commands import run_command

from tests.backup.conftest import Site

SECRET = "geheimes-kennwort"
SHIM = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
exec {restic} "$@"
"""


def watch(tmp_path: Path) -> Path:
    """Write down the arguments of every restic; returns the file."""
    restic = run_command(["sh", "-c", "command -v restic"], 10).strip()
    log, shim = tmp_path / "arguments", tmp_path / "programs" / "restic"
    shim.write_text(SHIM.format(log=log, restic=restic))
    shim.chmod(0o755)
    return log


def add(site: Site, moment: float, *, name: str = "local") -> None:
    """Add a small backup as the history does."""
    repository, content = site.repository(name), site.top / "content"
    content.mkdir(exist_ok=True)
    (content / "manifest.json").write_text(f"{moment}")
    backups = repository.backups()
    repository.add(content, moment, (backups[-1].sequence if backups else 0) + 1)


def test_made_by_the_first_and_found_by_the_second(site: Site, tmp_path: Path) -> None:
    new = Repository(RepositorySettings("local", str(tmp_path / "new")), site.place.key_file, "host")
    identity = new.make()
    assert re.fullmatch(r"[0-9a-f]{64}", identity)
    assert new.make() == identity
    assert new.backups() == []


def test_a_wrong_key_is_said_and_makes_nothing(site: Site, tmp_path: Path) -> None:
    site.place.key_file.write_text("another-key-than-that-of-before\n")
    before = sorted(tmp_path.joinpath("local").rglob("*"))
    for attempt in (site.repository().identity, site.repository().make, site.repository().backups):
        with pytest.raises(BackupError, match="the local repository: wrong password or no key found"):
            attempt()
    assert not site.repository().opens()
    assert sorted(tmp_path.joinpath("local").rglob("*")) == before


@pytest.mark.parametrize("kind", ["rest:http://someone:{secret}@127.0.0.1:9/path", "/nowhere/at/all"])
def test_what_cannot_be_reached_is_said_without_secrets(site: Site, tmp_path: Path, kind: str) -> None:
    log = watch(tmp_path)
    environment = {"RESTIC_REST_PASSWORD": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}
    settings = RepositorySettings("remote", kind.format(secret=SECRET), environment)
    away = Repository(settings, site.place.key_file, "host")
    with pytest.raises(
        BackupError, match=r"the remote repository: .*(connection refused|Connection refused|no such file)"
    ) as raised:
        away.backups()
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(settings)
    with pytest.raises(BackupError, match="remote repository"):
        away.opens()
    said = log.read_text() if log.exists() else ""  # restic is not asked where nobody answers
    assert SECRET not in said
    assert site.place.key_file.read_text().strip() not in said


def test_the_newest_is_what_was_taken_last_whatever_the_clock_said(site: Site) -> None:
    now = 1_795_939_200.0
    for moment in (now, now + 3600, now + 60, now + 120):  # the second one by a clock that was an hour ahead
        add(site, moment)
    backups = site.repository().backups()
    assert [backup.sequence for backup in backups] == [1, 2, 3, 4]
    assert [backup.moment - now for backup in backups] == [0, 3600, 60, 120]
    assert site.repository().read(backups[-1], "manifest.json") == f"{now + 120}"


def test_what_is_set_is_kept(site: Site) -> None:
    day = 1_795_910_400.0  # midnight
    moments = [day + hours * 3600 + minutes * 60 for hours in (1, 2, 3) for minutes in (0, 30)]
    for moment in moments:
        add(site, moment)
    site.repository().forget(Keep(hourly=3, daily=1, weekly=0, monthly=0))
    kept = [backup.moment for backup in site.repository().backups()]
    assert kept == [moments[1], moments[3], moments[4], moments[5]], "the last of each hour, and the last two"
    site.repository().prune()
    assert site.repository().read(site.repository().backups()[0], "manifest.json") == f"{moments[1]}"


def test_nothing_is_removed_from_one_that_others_keep(site: Site, tmp_path: Path) -> None:
    log = watch(tmp_path)
    only = replace(site.settings.repositories[0], append_only=True)
    site.use(replace(site.settings, repositories=(only,), keep=Keep(0, 0, 0, 0)))
    for number in range(3):
        add(site, time.time() - 86400 * (3 - number))
    assert site.history.run() == []
    assert site.history.maintain() == []
    assert len(site.repository().backups()) == 4
    assert not re.search(r"\b(forget|prune)\b", log.read_text())
    site.only("local")
    site.use(replace(site.settings, keep=Keep(0, 0, 0, 0)))
    assert site.history.run() == []
    assert len(site.repository().backups()) == 2
    assert " forget " in log.read_text()


def test_of_others_backups_nothing_is_seen(site: Site, tmp_path: Path) -> None:
    add(site, time.time())
    site.repository()._run("backup", "--quiet", "--host", "host", str(tmp_path / "content"), timeout=60)
    site.repository()._run("backup", "--quiet", "--host", "other", str(tmp_path / "content"), timeout=60)
    assert len(site.repository().backups()) == 1


def test_a_name_that_is_not_in_it_is_said(site: Site, tmp_path: Path) -> None:
    add(site, time.time())
    (backup,) = site.repository().backups()
    with pytest.raises(BackupError, match=rf"the backup {backup.id} of the local repository has no server"):
        site.repository().fetch(backup, tmp_path / "out", "server")
