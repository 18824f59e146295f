"""A database that has vanished stops a release before anything is touched; only a new host gets a new one."""

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
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was run in the API's image."""
    commands: list[tuple[str, ...]] = []

    def once(_: Any, _service: str, *arguments: str) -> str:  # noqa: ANN401
        commands.append(arguments)
        return ""

    monkeypatch.setattr("cleaning_service_release.compose.Compose.run_one_off", once)
    return commands


def prepare(layout: Layout) -> None:
    """Do what a release does to the data."""
    Releaser(layout, lambda _: None)._prepare_data(API, "20260101T000000Z")


def test_the_first_release_makes_the_database_and_no_other_does(layout: Layout, ran: list[tuple[str, ...]]) -> None:
    prepare(layout)
    layout.database.touch()
    prepare(layout)
    assert ran == [("migrate", "--create"), ("snapshot", "/data/snapshots/20260101T000000Z.db"), ("migrate",)]


def made(layout: Layout) -> None:
    """A release made it."""
    layout.database_created.touch()


def released(layout: Layout) -> None:
    """A release from before that was recorded."""
    Journal(layout).write(Entry("20250101T000000Z", "release", "done", "somebody", "", "", [], 1.0))


@pytest.mark.parametrize("before", [made, released])
def test_a_database_that_has_vanished_stops_everything(
    layout: Layout, ran: list[tuple[str, ...]], before: Callable[[Layout], None]
) -> None:
    before(layout)
    releaser = Releaser(layout, lambda _: None)
    for attempt in (
        lambda: releaser.plan(layout.wanted),
        lambda: releaser.apply(Operation(lambda: layout.wanted, "release", "test")),
    ):
        with pytest.raises(ReleaseError, match=r"is missing: put it back .*api migrate --create"):
            attempt()
    assert not ran
    assert not layout.compose_file.exists()
    assert not layout.in_progress.exists()
