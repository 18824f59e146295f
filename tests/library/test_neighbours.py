"""The module `neighbours`, with real containers and real listeners on this machine."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from library import neighbours
from library.neighbours import ComposeContainer

PROJECT = f"neighbours-{os.getpid()}"
IMAGE = f"{PROJECT}-image"
FILE = Path("/opt/somewhere/docker-compose.stable.yml")

Make = Callable[..., str]


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """Creates containers that never run, so that no registry is needed."""
    subprocess.run(["docker", "import", "-", IMAGE], input=bytes(10240), capture_output=True, check=True)
    names: list[str] = []

    def container(name: str, *options: str) -> str:
        names.append(f"{PROJECT}-{name}")
        subprocess.run(["docker", "create", f"--name={names[-1]}", *options, IMAGE, "/nothing"], check=True)
        return names[-1]

    yield container
    subprocess.run(["docker", "rm", "--force", *names], check=True)
    subprocess.run(["docker", "image", "rm", IMAGE], check=True)


def of_project(file: str, project: str = PROJECT) -> list[str]:
    label = neighbours._PROJECT
    return [f"--label={label}={project}", f"--label={label}.config_files={file}"]


@pytest.mark.docker
def test_project_of_the_same_name_is_a_conflict(make: Make) -> None:
    ours = make("ours", *of_project(f"{FILE},{FILE.parent}/override.yml"))
    same_project = make("theirs", *of_project("/srv/shop/docker-compose.yml"))
    other = make("other", *of_project("/srv/shop/docker-compose.yml", "shop"))
    plain = make("plain")
    found = {each.name: each for each in neighbours.containers("--all") if each.name.startswith(PROJECT)}
    assert set(found) == {ours, same_project, other, plain}
    foreign = [each for each in found.values() if not neighbours.belongs(each, PROJECT, FILE)]
    assert {each.name for each in foreign} == {same_project, other, plain}
    complaints = neighbours.container_conflicts(foreign, PROJECT, [ours, plain])
    assert len(complaints) == 2
    assert f"The container {plain} is another project's and has a name that this service needs" in complaints[0]
    assert f"is called {PROJECT} too ({same_project} from /srv/shop/docker-compose.yml)" in complaints[1]


def test_container_created_through_a_link_belongs_to_the_project(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    ours = ComposeContainer("ours", "project", f"{tmp_path}/real/compose.yml")
    assert neighbours.belongs(ours, "project", tmp_path / "link" / "compose.yml")
    assert not neighbours.belongs(ours, "project", tmp_path / "other" / "compose.yml")
    assert not neighbours.belongs(ComposeContainer("old", "project", ""), "project", tmp_path / "link" / "compose.yml")


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_listener_is_reported(protocol: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            listener.listen()
        number = listener.getsockname()[1]
        (owner,) = neighbours.listeners(f"{number}/{protocol}")
        assert owner.endswith(f"({os.getpid()})")
        assert (
            neighbours.port_conflict(f"{number}/{protocol}", owner)
            == f"Port {number} ({protocol}) is taken by {owner}."
        )
    assert neighbours.listeners(f"{number}/{protocol}") == []


def test_no_containers_without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert neighbours.containers("--all") == []
    assert neighbours.listeners("80/tcp") == []
