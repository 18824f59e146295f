"""The release journal, and the kept releases."""

import json
from dataclasses import replace

import pytest
from cleaning_service_release import compose
from cleaning_service_release.cli import EXIT_REVERTED, EXIT_USAGE, find_kept_release, find_rollback_target, main
from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.journal import KEPT_RELEASES, Entry, Journal, api_image
from cleaning_service_release.layout import Layout, origin, write_origin

from tests import disk
from tests.release.conftest import write_set

ENTRY = Entry("20261125T090000Z", "release", "done", "me@here", "cleaning-service/api:2", "", ["api"], 12.5)


@pytest.fixture
def journal(layout: Layout) -> Journal:
    """The journal of a new server."""
    return Journal(layout)


def add(layout: Layout, journal: Journal, number: int) -> None:
    name = f"20261125T09000{number}Z"
    journal.make_current(write_set(layout.releases / name, str(number)))
    (layout.snapshots / f"{name}.db").touch()


def test_invalid_lines_are_skipped(layout: Layout, journal: Journal) -> None:
    assert journal.entries() == []
    journal.write(ENTRY)
    with layout.journal.open("a") as file:
        file.write('{"id": "cut of')
        file.write("\n[]\n")
    journal.write(replace(ENTRY, outcome="returned", reason="not ready"))
    assert [entry.outcome for entry in journal.entries()] == ["done", "returned"]


def test_entries_are_flushed(layout: Layout, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = disk.watch(monkeypatch)
    journal.write(ENTRY)
    found = layout.journal.stat()
    assert [(step.inode, step.size) for step in steps if step.call == "fsync"] == [(found.st_ino, found.st_size)]


def test_ids_are_unique(layout: Layout, journal: Journal) -> None:
    first = journal.new_id()
    (layout.releases / first).mkdir()
    assert journal.new_id() != first


def test_current_release_and_three_before_are_kept(
    layout: Layout, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    write_set(layout.previous, "previous")
    names = [f"cleaning-service/api:{name}" for name in (*range(7), "new", "previous")]
    others = ["cleaning-service/redis:1", "cleaning-service/redis:0", "cleaning-service/replica:1"]
    monkeypatch.setattr(compose, "built_images", lambda _: [*names, *others])
    monkeypatch.setattr(compose, "remove_image", removed.append)
    for number in range(6):
        add(layout, journal, number)
    journal.make_current(layout.releases / "20261125T090003Z")  # a rollback
    unused = journal.prune()
    kept = [api_image(path).rpartition(":")[2] for path in journal.kept()]
    assert kept == ["2", "4", "5", "3"]
    assert len(kept) == KEPT_RELEASES + 1
    assert removed == unused
    # Neither the set that the next release may need, nor the one that a release would restore.
    assert set(unused) == {
        "cleaning-service/api:0",
        "cleaning-service/api:1",
        "cleaning-service/api:6",
        "cleaning-service/redis:0",
    }
    assert len(list(layout.snapshots.iterdir())) == KEPT_RELEASES + 1


def test_manual_snapshots_are_kept(layout: Layout, journal: Journal) -> None:
    names = {"backup_20261125.db", "20261125.db", "before.db.part"}
    for name in names:
        (layout.snapshots / name).touch()
    for number in range(KEPT_RELEASES + 2):
        (layout.snapshots / f"20261125T09000{number}Z.db").touch()
    (layout.snapshots / f"20261125T09000{number}Z-2.db.part").touch()
    journal.prune_snapshots()
    kept = {f"20261125T09000{number}Z.db" for number in range(1, KEPT_RELEASES + 2)}
    assert {path.name for path in layout.snapshots.iterdir()} == names | kept


def test_rollbacks_do_not_displace_releases(layout: Layout, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rollback stores a copy, which must not displace a kept release."""
    monkeypatch.setattr(compose, "built_images", lambda _: [])
    for number in range(KEPT_RELEASES + 1):
        add(layout, journal, number)
    layout.install(journal.kept()[-1])
    for number in range(KEPT_RELEASES + 1, 2 * KEPT_RELEASES + 1):
        target = find_rollback_target(layout)
        add(layout, journal, number)
        copy = write_set(journal.kept()[-1], api_image(target).rpartition(":")[2])
        write_origin(copy, origin(target))
        layout.install(copy)
        journal.prune()
        assert sorted(api_image(path)[-1] for path in journal.kept()) == ["0", "1", "2", "3"]
    assert api_image(journal.kept()[-1]) == "cleaning-service/api:0"
    assert find_kept_release(layout, "20261125T090002Z").name == "20261125T090004Z", "its copy"
    with pytest.raises(ReleaseError, match="there is no release to go back to"):
        find_rollback_target(layout)


def test_list(layout: Layout, journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        add(layout, journal, number)
    journal.write(replace(ENTRY, outcome="returned", reason="not ready"))
    assert main(["--directory", str(layout.directory), "list"]) == 0
    text = capsys.readouterr().out
    assert "* 20261125T090001Z  cleaning-service/api:1" in text
    assert "20261125T090000Z  release by me@here: returned after 12.5 s (not ready)" in text
    assert main(["--directory", str(layout.directory), "list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert [release["current"] for release in listing["kept"]] == [False, True]


def test_rollback_without_an_earlier_release(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--directory", str(layout.directory), "rollback", "--here"]) == EXIT_REVERTED
    assert "there is no release to go back to: none before this one is kept" in capsys.readouterr().err
    assert main(["--directory", str(layout.directory), "rollback", "20200101T000000Z", "--here"]) == EXIT_REVERTED
    assert "there is no release 20200101T000000Z; kept are: none" in capsys.readouterr().err


def test_second_rollback_goes_further_back(layout: Layout, journal: Journal) -> None:
    for number in range(3):
        add(layout, journal, number)
    layout.install(layout.releases / "20261125T090002Z")
    assert find_rollback_target(layout).name == "20261125T090001Z"
    # A rollback to 1 is kept as 3; the next one goes to 0, not to 2, the release that was rolled back.
    add(layout, journal, 3)
    write_origin(layout.releases / "20261125T090003Z", "20261125T090001Z")
    layout.install(layout.releases / "20261125T090003Z")
    assert find_rollback_target(layout).name == "20261125T090000Z"


def test_rollback_after_rollback_and_release(layout: Layout, journal: Journal) -> None:
    for number in range(3):
        add(layout, journal, number)
    # 2 was bad, and a rollback to 1 is kept as 3; then comes 4, which is bad too.
    add(layout, journal, 3)
    write_origin(layout.releases / "20261125T090003Z", "20261125T090001Z")
    add(layout, journal, 4)
    layout.install(layout.releases / "20261125T090004Z")
    assert find_rollback_target(layout).name == "20261125T090003Z"


@pytest.mark.parametrize("problem", ["interrupted", "reverted", "other files are installed"])
def test_rollback_of_a_failed_release_restores_the_current_one(layout: Layout, journal: Journal, problem: str) -> None:
    for number in range(2):
        add(layout, journal, number)
    layout.install(layout.releases / "20261125T090001Z")
    if problem == "interrupted":
        layout.in_progress.touch()
    elif problem == "reverted":
        layout.failed.touch()
    else:
        layout.install(layout.wanted)
    assert find_rollback_target(layout).name == "20261125T090001Z"


def test_exit_code_of_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["applyy"])
    assert ended.value.code == EXIT_USAGE
    assert "invalid choice" in capsys.readouterr().err
