"""The converged host with a small company, the far side, and a client outside both."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import testinfra
from backups import FAR, RUN, TIMERS, DatedWriter, Kept, all_listed, outside, register
from bounded import leave_long_out
from checkout import Checkout
from converged import HOST, ROOT, address, all_healthy, seed, wait_until
from testinfra.host import Host
from webhook import receiver

__all__ = ["receiver"]  # a fixture of all scenarios in which alerts are sent


@pytest.fixture(scope="session")
def host() -> Host:
    """The test host, through `docker exec`; no backup begins by itself while the tests look on."""
    host = testinfra.get_host(f"docker://{HOST}")
    host.check_output(f"systemctl stop {TIMERS}")
    seed(host)
    return host


@pytest.fixture(scope="session")
def far() -> Host:
    """The host that keeps the backups elsewhere."""
    return testinfra.get_host(f"docker://{FAR}")


@pytest.fixture(scope="session")
def kept(host: Host) -> Kept:
    """One by the unit of the timer, which all tests may restore: they do not take one each."""
    writer = DatedWriter(f"http://{address()}", rate=20)
    assert writer.knows_client()
    writer.prepare()
    writer.start()
    time.sleep(5)
    writer.close()
    with outside() as client:
        person = register(client)
    before = {name: len(backups) for name, backups in all_listed(host).items()}
    host.check_output(f"systemctl start {RUN}")
    return Kept(writer, person, before)


@pytest.fixture
def checkout() -> Checkout:
    """This checkout, to run playbooks from."""
    return Checkout(ROOT)


@pytest.fixture
def world() -> Iterator[httpx.Client]:
    """A client outside the host, which sees what the world sees."""
    with outside() as client:
        yield client


@pytest.fixture(autouse=True)
def _timed(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins with a healthy stack, and its time is printed."""
    wait_until(lambda: all_healthy(host), 120, "every container healthy before the test")
    began = time.monotonic()
    yield
    print(f"\n{request.node.name}: {time.monotonic() - began:.0f} s")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the order of their files, and within a file as they are written there; those marked `long` if LONG is set."""
    items.sort(key=lambda item: Path(item.location[0]).name)
    leave_long_out(config, items)
