"""The converged host, and a client outside it."""

from collections.abc import Iterator

import httpx
import pytest
import testinfra
from converged import HOST, address, all_healthy, wait_until
from testinfra.host import Host


@pytest.fixture(scope="session")
def host() -> Host:
    """The test host, through `docker exec`."""
    return testinfra.get_host(f"docker://{HOST}")


@pytest.fixture
def world() -> Iterator[httpx.Client]:
    """A client outside the host, which sees what the world sees."""
    with httpx.Client(base_url=f"http://{address()}", timeout=40, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def _starts_healthy(host: Host) -> None:
    """Each test begins with a healthy stack, so that it is judged for itself alone."""
    wait_until(lambda: all_healthy(host), 120, "every container healthy before the test")
