"""Fixtures of the monitor's tests."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.monitor.helpers import PACKAGE_DIRECTORY, SHARED_DIRECTORY, Service, docker

IMAGE = f"montest-image-{os.getpid()}"

_numbers = count(1)  # no two containers share a name


@pytest.fixture(scope="module", autouse=True)  # without __init__.py, a package's lasts to the end of all tests
def _as_on_a_host() -> Iterator[None]:
    """Let a monitor under test find its packages, and load no measuring of the API's coverage, which writes files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{PACKAGE_DIRECTORY}:{SHARED_DIRECTORY}")
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture
def service() -> Iterator[Service]:
    """An HTTP service that is well until a test says otherwise."""
    server = Service()
    yield server
    server.close()


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """An image with a shell and `sleep`, made from this machine's own: no registry is needed."""
    try:
        docker("info")
    except (AssertionError, OSError) as error:
        pytest.fail(f"these tests need a running Docker engine, and root: {error}")
    files = {Path("/bin/sh"), Path("/bin/sleep")}
    for program in list(files):
        listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        files |= {Path(word) for word in listing.split() if word.startswith("/")}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in files:
            entry = tar.gettarinfo(path.resolve(), arcname=str(path).lstrip("/"))
            with path.open("rb") as file:
                tar.addfile(entry, file)
    subprocess.run(["docker", "import", "-", IMAGE], input=archive.getvalue(), capture_output=True, check=True)
    yield IMAGE
    docker("image", "rm", IMAGE)


@contextmanager
def _containers(image: str) -> Iterator[Callable[..., str]]:
    names: list[str] = []

    def make(name: str, *options: str) -> str:
        names.append(f"montest-{os.getpid()}-{next(_numbers)}-{name}")
        # Signal 9 at once: `sleep` as process 1 heeds no other, and a test need not wait for that.
        docker("run", "--detach", "--stop-signal=KILL", f"--name={names[-1]}", *options, image, "sleep", "600")
        return names[-1]

    try:
        yield make
    finally:
        if names:
            subprocess.run(["docker", "rm", "--force", *names], capture_output=True, check=False)


@pytest.fixture
def container(image: str) -> Iterator[Callable[..., str]]:
    """Make running containers; they end with the test."""
    with _containers(image) as make:
        yield make


@pytest.fixture(scope="module")
def idle_container(image: str) -> Iterator[Callable[..., str]]:
    """Make running containers for all tests of a module that only look at them."""
    with _containers(image) as make:
        yield make


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a shell script before the real program of that name; returns where it notes its arguments.

    For what no test may do on this machine, such as restarting Docker, or cannot, as Compose may not be installed.
    """
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    def put(name: str, script: str = "exit 0") -> Path:
        notes = tmp_path / f"{name}.calls"
        notes.touch()
        program = directory / name
        program.write_text(f'#!/bin/sh\necho "$*" >> {notes}\n{script}\n')
        program.chmod(0o755)
        return notes

    return put
