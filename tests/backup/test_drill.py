"""The drill: a good backup is proven, and each way in which one can be bad fails it."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_backup.drill import Drill
from cleaning_service_release import probes
from cleaning_service_release.errors import ReleaseError
from pysqlite3 import dbapi2

from tests.backup.conftest import Site, flip, packs
from tests.backup.database import register


def drill(site: Site) -> list[str]:
    """Run the drill; whatever comes of it, it touches nothing that is live and leaves nothing."""
    before = site.files()
    failures = Drill(site.settings, site.place, site.said.append).run()
    assert site.files() == before
    assert not any(site.place.scratch.iterdir())
    return failures


def test_a_good_backup_is_proven(site: Site) -> None:
    site.staged()
    register(site.database, ago=0)  # after the backup's moment
    assert drill(site) == []
    (outcome,) = site.drills()
    assert (outcome["source"], outcome["failure"], outcome["bookings"]) == ("local", "", 0)
    assert outcome["moment"] == pytest.approx(time.time(), abs=60)
    assert site.said[-1].startswith("local: proven: 4 accounts, 0 bookings of ")


def execute(path: Path, *statements: str) -> None:
    with closing(dbapi2.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def other_rows(path: Path, _manifest: dict[str, Any]) -> None:
    register(path)


def lost_rows(path: Path, manifest: dict[str, Any]) -> None:
    execute(path, "DELETE FROM user_account WHERE id = (SELECT min(id) FROM user_account)")
    manifest["rows"]["user_account"] -= 1


def invented_rows(path: Path, manifest: dict[str, Any]) -> None:
    register(path)
    manifest["rows"]["user_account"] += 1


def damaged(path: Path, _manifest: dict[str, Any]) -> None:
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 4096)


def no_database(path: Path, _manifest: dict[str, Any]) -> None:
    path.write_bytes(b"")


def newer_schema(path: Path, manifest: dict[str, Any]) -> None:
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    manifest["image"] = "cleaning-service/api:future"


def damaged_manifest(_path: Path, manifest: dict[str, Any]) -> None:
    manifest.clear()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_rows, "it has not the rows that it had when it was taken: user_account"),
        (lost_rows, "it has 3 rows in user_account, and the live database has 4, the next of them made "),
        (invented_rows, "it has 5 rows in user_account, and the live database has 4"),
        (damaged, "malformed"),
        (no_database, "no database of this service"),
        (newer_schema, "deploy the version that it is of first (cleaning-service/api:future)"),
        (damaged_manifest, "(manifest.json) is damaged"),
    ],
)
def test_a_bad_backup_fails(site: Site, change: Callable[[Path, dict[str, Any]], None], sentence: str) -> None:
    site.staged(change=change)
    (failure,) = drill(site)
    assert sentence in failure
    (outcome,) = site.drills()
    assert f"local: {outcome['failure']}" == failure
    assert outcome["moment"] is None


def at(ago: float) -> Callable[[Path, dict[str, Any]], None]:
    """A backup that was taken so many seconds ago, as the clock said then."""

    def change(_path: Path, manifest: dict[str, Any]) -> None:
        manifest["moment"] = time.time() - ago

    return change


def test_rows_of_after_the_backup_seem_older_once_a_clock_that_was_ahead_is_right_again(site: Site) -> None:
    """In each of the ways in which one can tell that it was ahead."""
    site.staged(change=at(-86_400))  # it was when the backup was taken, a day
    register(site.database, ago=0)
    assert drill(site) == []
    assert any("the clock was set back" in line for line in site.said)
    site.staged(change=at(1800))  # half an hour, and all that was written then is in it
    register(site.database, ago=7200)
    assert drill(site) == []
    site.staged(change=at(1800))
    register(site.database, ago=1200)  # still ahead
    register(site.database, ago=7200)  # right again
    site.said.clear()
    assert drill(site) == []
    assert not any("the clock" in line for line in site.said)


def test_rows_that_bear_a_moment_to_come_hide_no_loss(site: Site) -> None:
    register(site.database, ago=-86_400)
    register(site.database, 2)
    site.staged(change=lost_newest)
    (failure,) = drill(site)
    assert "it has 6 rows in user_account, and the live database has 7, the next of them made " in failure


def lost_newest(path: Path, manifest: dict[str, Any]) -> None:
    execute(path, "DELETE FROM user_account WHERE rowid = (SELECT max(rowid) FROM user_account)")
    manifest["rows"]["user_account"] -= 1


def test_a_flipped_byte_fails(site: Site, tmp_path: Path) -> None:
    site.staged()
    flip(max(packs(tmp_path / "local"), key=lambda path: path.stat().st_size))
    (failure,) = drill(site)
    assert failure.startswith("local: the local repository: ")
    assert "verification failed" in failure
    assert site.drills()[0]["failure"]


def test_an_api_that_cannot_register_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def canary(*_: str) -> None:
        raise ReleaseError("a registration is answered with 500")

    site.staged()
    monkeypatch.setattr(probes, "run_canary", canary)
    assert drill(site) == ["local: the API does not work with it: a registration is answered with 500"]


def test_no_backup_fails_until_one_is_proven(site: Site) -> None:
    (failure,) = drill_without_scratch(site)
    assert failure.startswith("local: nothing can be restored: there is no such backup")
    site.staged()
    assert drill(site) == []
    (outcome,) = site.drills()
    assert outcome["failure"] == ""


def drill_without_scratch(site: Site) -> list[str]:
    """Run the drill where it has nothing to fetch."""
    site.place.scratch.mkdir()
    return drill(site)
