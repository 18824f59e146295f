"""What the watch of the replica writes down, and when it makes Litestream begin anew."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.place import Place
from cleaning_service_backup.replica import BeginAnewError, Replica
from cleaning_service_backup.settings import Settings, parse
from cleaning_service_backup.watch import BACKLOG, CURE_INTERVAL, FAR_INTERVAL, INTERVAL, LEAST_BACKLOG, PATIENCE, Watch
from cleaning_service_release.layout import Layout

SETTINGS = {
    "host": "h",
    "repositories": [],
    "keep": {"hourly": 1, "daily": 1, "weekly": 1, "monthly": 1},
    "check_mb": 1,
    "set_aside_keep": 1,
    "set_aside_mb": 1,
    "reserve_mb": 1,
}
STANDS_STILL = BeginAnewError("Litestream does not answer")
REFUSED = BackupError("connection refused")


def settings(directory: Path) -> Settings:
    """Settings of a service in a directory, with a replica."""
    return parse({**SETTINGS, "directory": str(directory), "replica": {"image": "image", "user": "1:1"}})


class FakeReplica(Replica):
    """A replica of which the test says what it answers."""

    def __init__(self, directory: Path) -> None:
        super().__init__(settings(directory), Layout(directory))
        self.confirms: Exception | None = None
        self.restorable: Exception | None = None
        self.another_file = self.part_is_missing = False
        self.kept = self.waiting = 0
        self.restarts = 0
        self.looks = 0

    def confirm(self) -> int:
        """All is there."""
        if self.confirms:
            raise self.confirms
        return 7

    def require_restorable(self, transaction: int) -> None:
        """The far side is complete."""
        assert transaction == 7
        self.looks += 1
        if self.restorable:
            raise self.restorable

    def exchanged(self) -> bool:
        """The file is the same."""
        return self.another_file

    def skipped(self) -> bool:
        """Part of the log was."""
        return self.part_is_missing

    def backlog(self, since: float = 0.0) -> int:
        """Bytes that are kept, and those of them that wait."""
        return self.waiting if since else self.kept

    def restart(self) -> bool:
        """Count it."""
        self.restarts += 1
        self.another_file = False
        return True


class Scene:
    """A watch with a clock of its own."""

    def __init__(self, directory: Path) -> None:
        self.now = 1_000_000.0
        self.said: list[str] = []
        self.replica = FakeReplica(directory)
        self.layout = Layout(directory)
        self.place = Place(settings(directory))
        self.begin()

    def begin(self) -> None:
        """Start the program (anew)."""
        self.watch = Watch(self.replica, self.layout, self.place, self.said.append, lambda: self.now)

    def look(self, seconds: float = INTERVAL) -> dict[str, Any]:
        """Let so much time pass in steps, looking after each; what stands there in the end."""
        end = self.now + seconds
        while self.now < end:
            self.now += INTERVAL
            self.watch.look()
        return dict(json.loads(self.place.replica_status.read_text()))

    def write(self) -> None:
        """Write to the database at this moment."""
        os.utime(self.layout.database, (self.now, self.now))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A service whose replica is well."""
    (tmp_path / "data").mkdir()
    (tmp_path / "backup").mkdir()
    (tmp_path / "data" / "cleaning_service_stable.db").touch()
    scene = Scene(tmp_path)
    scene.write()
    return scene


def test_all_is_there(scene: Scene) -> None:
    found = scene.look()
    assert (found["behind"], found["failure"], found["written"]) == (0.0, "", scene.now)
    assert scene.said == []


def test_behind_counts_from_the_last_confirmation_and_only_where_something_was_written(scene: Scene) -> None:
    scene.look()
    confirmed = scene.now
    scene.replica.confirms = REFUSED
    assert scene.look(60)["behind"] == 0.0
    scene.write()
    found = scene.look(60)
    assert found["behind"] == scene.now - confirmed == 120.0
    assert "refused" in found["failure"]
    scene.begin()  # another process of the watch
    assert scene.look(15)["behind"] == 135.0
    scene.replica.confirms = None
    assert (scene.look()["behind"], scene.said[-1]) == (0.0, "the far side has everything")


def test_a_missing_database_is_told(scene: Scene) -> None:
    scene.layout.database.unlink()
    assert scene.look()["failure"] == "the database is missing"


def test_one_that_stands_still_begins_anew_and_not_too_often(scene: Scene) -> None:
    scene.look()
    scene.replica.confirms = STANDS_STILL
    scene.look(PATIENCE)
    assert scene.replica.restarts == 0
    scene.look(2 * INTERVAL)
    assert scene.replica.restarts == 1
    scene.look(CURE_INTERVAL - 2 * INTERVAL)
    assert scene.replica.restarts == 1
    scene.look(3 * INTERVAL)
    assert scene.replica.restarts == 2


def test_it_begins_anew_where_part_of_the_log_was_skipped_and_not_too_often(scene: Scene) -> None:
    for restarts in (1, 2):
        scene.replica.part_is_missing = True
        scene.look()
        assert scene.replica.restarts == restarts
        scene.look(CURE_INTERVAL - 2 * INTERVAL)
        assert scene.replica.restarts == restarts
        scene.look(2 * INTERVAL)


def test_a_far_side_that_refuses_is_waited_for(scene: Scene) -> None:
    """What waits for it here stays complete: each moment of the outage can be gone back to afterwards."""
    scene.replica.confirms = REFUSED
    scene.look(3 * CURE_INTERVAL)
    assert scene.replica.restarts == 0
    scene.layout.database.write_bytes(bytes(1000))
    scene.replica.kept = 9 * BACKLOG
    scene.replica.waiting = BACKLOG + 1000
    scene.look()
    assert scene.replica.restarts == 0
    scene.replica.waiting += 1
    scene.look()
    assert scene.replica.restarts == 1


def test_less_is_kept_for_the_far_side_where_the_disk_is_nearly_full(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.replica.confirms = REFUSED
    scene.replica.kept = LEAST_BACKLOG + 1
    scene.look()
    assert scene.replica.restarts == 0
    free = 999_999  # bytes, and one MB is to be left
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    scene.look()
    assert scene.replica.restarts == 1
    scene.replica.kept = LEAST_BACKLOG
    scene.look()
    assert scene.replica.restarts == 1, "it would free hardly anything"


def test_nothing_begins_anew_while_the_database_is_exchanged(scene: Scene) -> None:
    scene.replica.another_file = True
    with scene.place.locked("restore", lambda _: None):
        scene.look()
        assert scene.replica.restarts == 0
    scene.look()
    assert scene.replica.restarts == 1
    assert scene.said == ["Litestream begins anew: the database is another file"]


def test_files_that_are_gone_at_the_far_side_are_found_and_made_again(scene: Scene) -> None:
    scene.look(FAR_INTERVAL)
    looks, seen = scene.replica.looks, scene.now
    scene.replica.restorable = BeginAnewError("files were removed")
    found = scene.look(FAR_INTERVAL)
    assert scene.replica.looks > looks
    assert found["failure"] == "files were removed"
    assert scene.now - seen <= found["behind"] <= scene.now - seen + FAR_INTERVAL
    scene.look(PATIENCE + INTERVAL)
    assert scene.replica.restarts == 1
    scene.replica.restorable = None
    assert scene.look() == found | {"failure": "", "behind": 0.0, "written": scene.now, "confirmed": scene.now}


def test_a_look_at_the_far_side_that_fails_is_no_reason_to_begin_anew(scene: Scene) -> None:
    scene.replica.restorable = BackupError("took longer than 25 s")
    scene.look(3 * CURE_INTERVAL)
    assert scene.replica.restarts == 0
