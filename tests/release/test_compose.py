"""Docker commands of a release, and the containers and images that belong to it."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cleaning_service_release import compose, release
from cleaning_service_release.compose import Compose, _service, run
from cleaning_service_release.errors import ReleaseError

from tests import processes
from tests.images import ours_and_theirs
from tests.processes import WITH_A_CHILD

WANTED = {"container_name": "container", "image": "image"}


@pytest.mark.parametrize(
    ("wanted", "url"),
    [
        ({}, None),
        ({"ports": [{"published": "80", "target": 8080}]}, "http://127.0.0.1:80"),
        (
            {
                "environment": {"SOCKET_FILE": "/run/api/one.sock", "OTHER": None},
                "volumes": [
                    {"source": "/opt/x/data", "target": "/data"},
                    {"source": "/opt/x/run", "target": "/run/api"},
                ],
            },
            "unix:/opt/x/run/one.sock",
        ),
    ],
)
def test_url_of_a_service(wanted: dict[str, object], url: str | None) -> None:
    assert _service("api", WANTED | wanted).url == url


def test_output_of_a_command() -> None:
    assert run(["echo", "well"], timeout=10) == "well\n"
    with pytest.raises(ReleaseError, match=r"`sh -c .*` ended with 3$") as ended:
        run(["sh", "-c", "echo why >&2; exit 3"], timeout=10)
    assert ended.value.evidence == ["why"]


@pytest.mark.parametrize("check", [True, False])
def test_timeout_kills_the_command_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, check: bool
) -> None:
    """A process that survived would replace containers while the release is being reverted."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReleaseError, match=r"took longer than 0\.5 s$") if check else contextlib.nullcontext():
        run(["sh", "-c", f"{WITH_A_CHILD} wait"], timeout=0.5, check=check)
    assert processes.end()


def test_timeout_of_the_release_kills_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(release, "RELEASE_TIMEOUT", 1)
    with pytest.raises(ReleaseError, match="minutes"), release._time_limit():
        run(["sh", "-c", f"{WITH_A_CHILD} wait"], timeout=30)
    assert processes.end()


@pytest.mark.parametrize(
    ("command", "timeout", "reason"),
    [
        (["sleep", "60"], 0.1, "took longer than 0.1 s"),
        (["/nowhere"], 10, "cannot be run"),
        (["false"], 10, "ended with 1"),
    ],
)
def test_unchecked_command_never_raises(command: list[str], timeout: float, reason: str) -> None:
    assert run(command, timeout=timeout, check=False) == ""
    with pytest.raises(ReleaseError, match=reason):
        run(command, timeout=timeout)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Creates containers of the project from a given compose file; they never run."""
    project = f"releasetest-{os.getpid()}"
    monkeypatch.setattr(compose, "_PROJECT", project)
    subprocess.run(["docker", "import", "-", project], input=bytes(10240), capture_output=True, check=True)
    names: list[str] = []

    def container(name: str, file: str) -> str:
        names.append(f"{project}-{name}")
        labels = {"project": project, "project.config_files": file, "oneoff": "False"}
        options = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        subprocess.run(["docker", "create", f"--name={names[-1]}", *options, project, "/nothing"], check=True)
        return names[-1]

    yield container
    subprocess.run(["docker", "rm", "--force", *names], check=True)
    subprocess.run(["docker", "image", "rm", project], check=True)


@pytest.mark.docker
def test_project_of_the_same_name_is_not_touched(make: Callable[[str, str], str], tmp_path: Path) -> None:
    project = Compose(tmp_path / "docker-compose.stable.yml")
    ours = make("ours", f"{tmp_path}/docker-compose.stable.yml")
    project.require_unique_project()
    theirs = make("theirs", "/srv/cleaning-service/docker-compose.yml")
    with pytest.raises(ReleaseError, match=f"{theirs} from /srv/cleaning-service/docker-compose.yml"):
        project.require_unique_project()
    assert set(project.containers()) == {ours}
    for name in (ours, theirs):
        project.remove(name)
    assert compose.container(ours) is None
    assert compose.container(theirs) is not None


@pytest.mark.docker
def test_only_images_built_by_the_playbook_are_listed() -> None:
    prefix = f"releasetest-{os.getpid()}/"
    with ours_and_theirs(prefix) as (ours, _):
        assert compose.built_images(prefix) == [ours]
