"""The story of the releases, and which of them are kept."""

import json
from dataclasses import replace

import pytest
from cleaning_service_release import compose
from cleaning_service_release.cli import RETURNED, USAGE, kept_as, main, to_go_back_to
from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.journal import KEPT, Entry, Journal, api_image
from cleaning_service_release.layout import Layout, origin, write_origin

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


def test_what_is_written_is_read(layout: Layout, journal: Journal) -> None:
    assert journal.entries() == []
    journal.write(ENTRY)
    with layout.journal.open("a") as file:
        file.write('{"id": "cut of')
        file.write("\n[]\n")
    journal.write(replace(ENTRY, outcome="returned", reason="not ready"))
    assert [entry.outcome for entry in journal.entries()] == ["done", "returned"]


def test_names_are_there_once(layout: Layout, journal: Journal) -> None:
    first = journal.new_id()
    (layout.releases / first).mkdir()
    assert journal.new_id() != first


def test_the_current_one_and_three_before_it_are_kept(
    layout: Layout, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    names = [f"cleaning-service/api:{number}" for number in range(7)]
    others = ["cleaning-service/redis:1", "cleaning-service/redis:0", "cleaning-service/replica:1"]
    monkeypatch.setattr(compose, "images", lambda _: [*names, *others])
    monkeypatch.setattr(compose, "remove_image", removed.append)
    for number in range(6):
        add(layout, journal, number)
    journal.make_current(layout.releases / "20261125T090003Z")  # a rollback
    unused = journal.prune()
    kept = [api_image(path).rpartition(":")[2] for path in journal.kept()]
    assert kept == ["2", "4", "5", "3"]
    assert len(kept) == KEPT + 1
    assert removed == unused
    assert "cleaning-service/api:new" not in unused, "another release may be waiting with it"
    assert set(unused) == {
        "cleaning-service/api:0",
        "cleaning-service/api:1",
        "cleaning-service/api:6",
        "cleaning-service/redis:0",
    }
    assert len(list(layout.snapshots.iterdir())) == KEPT + 1


def test_snapshots_of_people_stay(layout: Layout, journal: Journal) -> None:
    names = {"backup_20261125.db", "20261125.db", "before.db.part"}
    for name in names:
        (layout.snapshots / name).touch()
    for number in range(KEPT + 2):
        (layout.snapshots / f"20261125T09000{number}Z.db").touch()
    (layout.snapshots / f"20261125T09000{number}Z-2.db.part").touch()
    journal.prune_snapshots()
    kept = {f"20261125T09000{number}Z.db" for number in range(1, KEPT + 2)}
    assert {path.name for path in layout.snapshots.iterdir()} == names | kept


def test_rollbacks_leave_the_other_releases_there(
    layout: Layout, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far back as there are releases: each rollback makes a copy, and none goes for its sake."""
    monkeypatch.setattr(compose, "images", lambda _: [])
    for number in range(KEPT + 1):
        add(layout, journal, number)
    layout.put(journal.kept()[-1])
    for number in range(KEPT + 1, 2 * KEPT + 1):
        back_to = to_go_back_to(layout)
        add(layout, journal, number)
        copy = write_set(journal.kept()[-1], api_image(back_to).rpartition(":")[2])
        write_origin(copy, origin(back_to))
        layout.put(copy)
        journal.prune()
        assert sorted(api_image(path)[-1] for path in journal.kept()) == ["0", "1", "2", "3"]
    assert api_image(journal.kept()[-1]) == "cleaning-service/api:0"
    assert kept_as(layout, "20261125T090002Z").name == "20261125T090004Z", "its copy"
    with pytest.raises(ReleaseError, match="there is no release to go back to"):
        to_go_back_to(layout)


def test_on_the_command_line(layout: Layout, journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        add(layout, journal, number)
    journal.write(replace(ENTRY, outcome="returned", reason="not ready"))
    assert main(["--directory", str(layout.directory), "list"]) == 0
    text = capsys.readouterr().out
    assert "* 20261125T090001Z  cleaning-service/api:1" in text
    assert "20261125T090000Z  release by me@here: returned after 12.5 s (not ready)" in text
    assert main(["--directory", str(layout.directory), "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [release["current"] for release in told["kept"]] == [False, True]


def test_nothing_to_go_back_to(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--directory", str(layout.directory), "rollback", "--here"]) == RETURNED
    assert "there is no release to go back to: none before this one is kept" in capsys.readouterr().err
    assert main(["--directory", str(layout.directory), "rollback", "20200101T000000Z", "--here"]) == RETURNED
    assert "there is no release 20200101T000000Z; kept are: none" in capsys.readouterr().err


def test_back_again_goes_further_back(layout: Layout, journal: Journal) -> None:
    for number in range(3):
        add(layout, journal, number)
    layout.put(layout.releases / "20261125T090002Z")
    assert to_go_back_to(layout).name == "20261125T090001Z"
    # A rollback to 1 is kept as 3; the next one goes to 0, not to 2, which somebody has just left.
    add(layout, journal, 3)
    write_origin(layout.releases / "20261125T090003Z", "20261125T090001Z")
    layout.put(layout.releases / "20261125T090003Z")
    assert to_go_back_to(layout).name == "20261125T090000Z"


def test_back_from_a_release_after_a_rollback_is_to_what_ran_before(layout: Layout, journal: Journal) -> None:
    for number in range(3):
        add(layout, journal, number)
    # 2 was bad, and a rollback to 1 is kept as 3; then comes 4, which is bad too.
    add(layout, journal, 3)
    write_origin(layout.releases / "20261125T090003Z", "20261125T090001Z")
    add(layout, journal, 4)
    layout.put(layout.releases / "20261125T090004Z")
    assert to_go_back_to(layout).name == "20261125T090003Z"


@pytest.mark.parametrize("trouble", ["interrupted", "taken back", "something else is in place"])
def test_back_from_a_release_that_did_not_end_is_to_the_last_good_one(
    layout: Layout, journal: Journal, trouble: str
) -> None:
    for number in range(2):
        add(layout, journal, number)
    layout.put(layout.releases / "20261125T090001Z")
    if trouble == "interrupted":
        layout.under_way.touch()
    elif trouble == "taken back":
        layout.failed.touch()
    else:
        layout.put(layout.wanted)
    assert to_go_back_to(layout).name == "20261125T090001Z"


def test_a_wrong_command_has_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["applyy"])
    assert ended.value.code == USAGE
    assert "invalid choice" in capsys.readouterr().err
