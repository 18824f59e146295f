"""A missing database stops a release before any change; only a new host gets a new database."""

from collections.abc import Callable
from typing import Any

import pytest
from cleaning_service_release.compose import Service
from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.journal import Entry, Journal
from cleaning_service_release.layout import Layout
from cleaning_service_release.release import Operation, Releaser

API = Service("api", "api", "cleaning_service_api_stable", "cleaning-service/api:1", None, None, (), start_period=300.0)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Collects the commands that are run in the API's image."""
    run: list[tuple[str, ...]] = []

    def once(_: Any, _service: str, *arguments: str) -> str:  # noqa: ANN401
        run.append(arguments)
        return ""

    monkeypatch.setattr("cleaning_service_release.compose.Compose.run_one_off", once)
    return run


def prepare(layout: Layout) -> None:
    """Run a release's steps on the data."""
    Releaser(layout, lambda _: None)._prepare_data(API, "20260101T000000Z")


def test_only_the_first_release_creates_the_database(layout: Layout, commands: list[tuple[str, ...]]) -> None:
    prepare(layout)
    layout.database.touch()
    prepare(layout)
    assert commands == [("migrate", "--create"), ("snapshot", "/data/snapshots/20260101T000000Z.db"), ("migrate",)]


def database_created(layout: Layout) -> None:
    """Let a release have created the database."""
    layout.database_created.touch()


def old_release_in_journal(layout: Layout) -> None:
    """Let an old release, which did not write `database_created`, be in the journal."""
    Journal(layout).write(Entry("20250101T000000Z", "release", "done", "somebody", "", "", [], 1.0))


@pytest.mark.parametrize("set_up", [database_created, old_release_in_journal])
def test_missing_database_stops_a_release(
    layout: Layout, commands: list[tuple[str, ...]], set_up: Callable[[Layout], None]
) -> None:
    set_up(layout)
    releaser = Releaser(layout, lambda _: None)
    for attempt in (
        lambda: releaser.plan(layout.wanted),
        lambda: releaser.apply(Operation(lambda: layout.wanted, "release", "test")),
    ):
        with pytest.raises(ReleaseError, match=r"is missing: put it back .*api migrate --create"):
            attempt()
    assert not commands
    assert not layout.compose_file.exists()
    assert not layout.in_progress.exists()
