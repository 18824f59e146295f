"""A release from the lock to the journal, with a fake of Docker."""

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cleaning_service_host.files import read_json
from cleaning_service_release import compose, owners, probes, release
from cleaning_service_release.cli import main
from cleaning_service_release.compose import Compose, Container, Service
from cleaning_service_release.errors import BusyError, ReleaseError, RevertFailedError
from cleaning_service_release.journal import Entry, Journal, api_image
from cleaning_service_release.layout import Layout
from cleaning_service_release.release import Operation, Releaser

from tests.release.conftest import write_set

OLD, NEW = "cleaning-service/api:old", "cleaning-service/api:new"
KINDS = {"redis": "redis", "api": "api", "api_2": "api", "proxy": "proxy"}


class Docker:
    """A fake of Docker and of the probes, which runs what the installed files name and fails on demand.

    Attributes:
        runs: by service, the tag of its running container.
        steps: all steps, each with the tag of the installed API image.
        fails: by step, the error to raise.
        then: by step, a function to call during it, once.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.runs: dict[str, str] = {}
        self.steps: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.then: dict[str, Callable[[], object]] = {}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Replace Docker."""
        patch.setattr(Compose, "services", lambda _: self.services())
        patch.setattr(Compose, "containers", lambda _: {name: _container(name) for name in self.runs})
        patch.setattr(
            Compose,
            "outdated_containers",
            lambda _: {name for name in KINDS if self.runs.get(name) != self._wanted(name)},
        )
        patch.setattr(Compose, "require_unique_project", lambda _: None)
        patch.setattr(Compose, "remove", lambda *_: None)
        patch.setattr(Compose, "up", lambda _, name: self._up(name))
        patch.setattr(Compose, "remove_orphans", lambda _: self._do("remove"))
        patch.setattr(Compose, "run_one_off", lambda _, name, *arguments: self._once(name, *arguments))
        patch.setattr(compose, "image_id", lambda image: self._do(f"image {image}") or image)
        patch.setattr(compose, "built_images", lambda _: [])
        patch.setattr(probes, "await_ready", lambda service, *_: self._do(f"await {service.name}") or 1.0)
        patch.setattr(probes, "run_canary", lambda name, *_: self._do(f"canary {name}"))
        patch.setattr(probes, "check_proxy", lambda *_: self._do("through"))
        patch.setattr(owners, "mend", lambda _: [])

    def services(self) -> list[Service]:
        """The services of the installed compose file."""
        return [
            Service(name, kind, name, f"cleaning-service/{kind}:{self._wanted(name)}", "http://here", None, (), 30.0)
            for name, kind in KINDS.items()
        ]

    def _wanted(self, name: str) -> str:
        # Redis has the same image in all releases.
        return "1" if name == "redis" else api_image(self._layout.directory).rpartition(":")[2]

    def _do(self, step: str) -> str:
        self.steps.append(step := f"{step} {self._wanted('api')}")
        self.then.pop(step, lambda: None)()
        if step in self.fails:
            raise self.fails[step]
        return ""

    def _up(self, name: str) -> None:
        self._do(f"up {name}")
        self.runs[name] = self._wanted(name)

    def _once(self, name: str, *arguments: str) -> str:
        self._do(f"{arguments[0]} {name}")
        self._layout.database.touch()
        return ""


def _container(name: str) -> Container:
    return Container(name, name, "running", "healthy", 0, 0, [])


@pytest.fixture
def docker(layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    """A host with a prepared first release."""
    monkeypatch.setattr(release, "_MONITOR", str(tmp_path / "none"))
    monkeypatch.setattr(release, "PROXY_HEALTH_DELAY", 0)
    write_set(layout.wanted, "old")
    docker = Docker(layout)
    docker.install(monkeypatch)
    return docker


@pytest.fixture
def released(docker: Docker, layout: Layout) -> Docker:
    """A host with a release and a prepared next one."""
    assert carry_out(layout) == OLD
    write_set(layout.wanted, "new")
    docker.steps.clear()
    return docker


def carry_out(layout: Layout, said: list[str] | None = None, by: str = "me") -> str:
    """Release the wanted file set."""
    operation = Operation(lambda: layout.copy_wanted(""), "release", by)
    return Releaser(layout, (said if said is not None else []).append).apply(operation)


def last(layout: Layout) -> Entry:
    """The journal's last entry."""
    return Journal(layout).entries()[-1]


def test_release_replaces_the_containers(released: Docker, layout: Layout) -> None:
    assert carry_out(layout) == NEW
    assert released.runs == {"redis": "1", "api": "new", "api_2": "new", "proxy": "new"}
    assert [step for step in released.steps if step.startswith(("up", "snapshot", "migrate"))] == [
        *("snapshot api new", "migrate api new"),
        *("up api new", "up proxy new", "up api_2 new"),
    ]
    entry = last(layout)
    assert (entry.kind, entry.outcome, entry.by, entry.image, entry.before) == ("release", "done", "me", NEW, OLD)
    assert entry.changed == ["api", "proxy", "api_2"]
    current = Journal(layout).current()
    assert current
    assert (current.name, api_image(current)) == (entry.id, NEW)
    assert not layout.in_progress.exists()
    released.steps.clear()
    assert carry_out(layout) == ""
    assert not [step for step in released.steps if step.startswith("up")]
    assert last(layout) == entry


TROUBLE = [
    "image cleaning-service/api:new",
    "validate proxy",
    "snapshot api",
    "migrate api",
    "up api",
    "await api",
    "up proxy",
    "await proxy",
    "up api_2",
    "await api_2",
    "remove",
    "canary api_2",
    "through",
]


@pytest.mark.parametrize("error", [ReleaseError("on purpose"), OSError("on purpose"), KeyError("on purpose")], ids=repr)
@pytest.mark.parametrize("step", TROUBLE)
def test_failed_step_reverts_the_release(released: Docker, layout: Layout, step: str, error: Exception) -> None:
    before, current = dict(released.runs), Journal(layout).current()
    said: list[str] = []
    released.fails[f"{step} new"] = error
    with pytest.raises(ReleaseError, match=r"on purpose|the proxy does not accept its configuration") as failed:
        carry_out(layout, said)
    assert not isinstance(failed.value, RevertFailedError)
    assert f"{step} new" in released.steps
    assert released.runs == before
    assert api_image(layout.directory) == OLD
    assert not layout.changed_paths(layout.previous)
    assert said[-1] == "the previous release runs again"
    entry = last(layout)
    assert (entry.outcome, entry.image, entry.before) == ("returned", NEW, OLD)
    assert entry.reason == str(failed.value)
    assert read_json(layout.failed)["id"] == entry.id
    assert not layout.in_progress.exists()
    assert Journal(layout).current() == current
    assert "the last release failed" in Releaser(layout, said.append).plan(layout.wanted)
    released.fails.clear()
    assert carry_out(layout) == NEW
    assert last(layout).outcome == "done"
    assert not layout.failed.exists()


def test_files_of_a_release_are_private(docker: Docker, layout: Layout) -> None:
    before = os.umask(0o022)
    seen: list[str] = []
    status = Path("/proc/self/status")
    docker.then["validate proxy old"] = lambda: seen.extend(re.findall(r"Umask:\s*(\d+)", status.read_text()))
    try:
        assert main(["--directory", str(layout.directory), "apply", "--here"]) == 0
    finally:
        os.umask(before)
    assert seen == ["0077"]
    assert layout.env_file.stat().st_mode & 0o777 == 0o600
    assert layout.journal.stat().st_mode & 0o777 == 0o600


def test_revert_replaces_the_last_changed_container_first(released: Docker, layout: Layout) -> None:
    released.fails["await api_2 new"] = ReleaseError("on purpose")
    with pytest.raises(ReleaseError):
        carry_out(layout)
    assert last(layout).changed == ["api", "proxy", "api_2"]
    back = released.steps[released.steps.index("await api_2 new") + 1 :]
    assert [step for step in back if not step.startswith("image")] == [
        *("up api_2 old", "await api_2 old", "up proxy old", "await proxy old", "up api old", "await api old"),
        "remove old",
    ]


def test_failed_revert_is_recorded_and_keeps_the_previous_set(released: Docker, layout: Layout) -> None:
    released.fails = {"await api new": ReleaseError("on purpose"), "up api old": ReleaseError("second error")}
    with pytest.raises(RevertFailedError, match="on purpose; and restoring the previous release failed: second error"):
        carry_out(layout)
    assert last(layout).outcome == "failed"
    assert layout.failed.exists()
    assert layout.in_progress.exists()
    assert "an earlier release was interrupted" in Releaser(layout, lambda _: None).plan(layout.wanted)
    # A failed release after it still reverts to the last good one.
    released.fails = {"await proxy new": ReleaseError("on purpose")}
    with pytest.raises(ReleaseError):
        carry_out(layout)
    assert (last(layout).outcome, last(layout).before) == ("returned", OLD)
    assert set(released.runs.values()) == {"1", "old"}


def test_failed_first_release_cannot_be_reverted(docker: Docker, layout: Layout) -> None:
    docker.fails["await api old"] = ReleaseError("on purpose")
    with pytest.raises(RevertFailedError, match="on purpose; nothing ran before"):
        carry_out(layout)
    assert last(layout).outcome == "failed"


def test_release_without_free_space_changes_no_container(
    released: Docker, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "MINIMUM_FREE_SPACE", 1e18)
    with pytest.raises(ReleaseError, match="nothing has changed"):
        carry_out(layout)
    assert not [step for step in released.steps if step.startswith("up")]
    assert last(layout).outcome == "returned"


def test_release_is_reverted_after_its_timeout(
    released: Docker, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "RELEASE_TIMEOUT", 1)
    released.then["await api new"] = lambda: threading.Event().wait(20)
    with pytest.raises(ReleaseError, match="the release took longer than"):
        carry_out(layout)
    assert last(layout).outcome == "returned"
    assert last(layout).seconds < 10


class Second(threading.Thread):
    """Another release, begun by another operator during the first."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout
        self.said: list[str] = []
        self.chosen = threading.Event()
        self.ended: Exception | None = None

    def run(self) -> None:
        """Try to release."""
        try:
            Releaser(self._layout, self.said.append).apply(Operation(self._choose, "rollback", "you"))
        except ReleaseError as error:
            self.ended = error

    def _choose(self) -> Path:
        self.chosen.set()
        raise ReleaseError("selected")


def test_second_release_is_refused_after_the_lock_timeout(
    released: Docker, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "LOCK_TIMEOUT", 1.0)
    second = Second(layout)

    def begin() -> None:
        second.start()
        second.join(20)

    released.then["await api new"] = begin
    assert carry_out(layout, by="me") == NEW
    assert isinstance(second.ended, BusyError)
    assert str(second.ended).startswith("another release, by me since ")
    assert str(second.ended).endswith("did not end within 1 s")
    assert [line.partition(" since")[0] for line in second.said] == ["waiting for another release, by me"]
    assert not second.chosen.is_set()
    assert [entry.by for entry in Journal(layout).entries()] == ["me", "me"]


def test_second_release_waits_for_the_first(released: Docker, layout: Layout) -> None:
    second = Second(layout)

    def begin() -> None:
        second.start()
        assert not second.chosen.wait(1)

    released.then["await api new"] = begin
    assert carry_out(layout) == NEW
    second.join(20)
    assert second.said[0].startswith("waiting for another release")
    assert second.chosen.is_set()
    assert str(second.ended) == "selected"
