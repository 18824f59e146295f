"""The module `free_space`, on this machine's own file systems."""

import json
import os
from pathlib import Path

import pytest

from library import free_space

MUCH = 10**12  # MB, more than any disk has


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(free_space, "DOCKER_SETTINGS", tmp_path / "daemon.json")
    monkeypatch.setenv("PATH", str(tmp_path))


def test_directories_on_one_file_system_are_added_up(tmp_path: Path) -> None:
    mount = free_space.mount_of(tmp_path)
    (tmp_path / "data").mkdir()
    missing = tmp_path / "not" / "there"
    (complaint,) = free_space.complaints({str(tmp_path / "data"): 40, str(missing): 60}, MUCH)
    assert complaint.endswith(f"MB free on {mount}, and {MUCH} MB are needed there for {tmp_path}/data, {missing}.")
    assert free_space.complaints({str(missing): 100}, 0) == []


def test_each_file_system_needs_its_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host with a small disk for the data is accepted if the images are on another disk."""
    small, large = tmp_path / "small", tmp_path / "large"
    for mount in (small, large):
        mount.mkdir()
    free = {small: 400, large: 9000}
    monkeypatch.setattr(os.path, "ismount", lambda path: path in free)
    monkeypatch.setattr(free_space, "free_megabytes", free.__getitem__)
    shares = {str(large / "docker"): 60, str(large / "tmp"): 25, str(small / "opt"): 15}
    assert free_space.complaints(shares, 2048) == []
    free[small] = 300
    (complaint,) = free_space.complaints(shares, 2048)
    assert complaint == f"There are 300 MB free on {small}, and 308 MB are needed there for {small}/opt."


def test_link_is_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    monkeypatch.setattr(os.path, "ismount", lambda path: path in (tmp_path / "disk", Path("/")))
    assert free_space.mount_of(tmp_path / "link" / "below") == tmp_path / "disk"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_docker_root(tmp_path: Path, text: str) -> None:
    assert free_space.docker_root() == Path("/var/lib/docker")
    free_space.DOCKER_SETTINGS.write_text(text)
    assert free_space.docker_root() == Path("/var/lib/docker")
    free_space.DOCKER_SETTINGS.write_text(json.dumps({"data-root": "/srv/docker"}))
    assert free_space.docker_root() == Path("/srv/docker")
    (tmp_path / "docker").write_text("#!/bin/sh\necho /data/docker\n")
    (tmp_path / "docker").chmod(0o755)
    assert free_space.docker_root() == Path("/data/docker")
