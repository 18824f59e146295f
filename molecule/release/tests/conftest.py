"""The converged host with a crowd at work, and checkouts that differ from this one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import testinfra
from bounded import leave_long_out
from checkout import Checkout
from converged import HOST, address, start_anew, wait_until
from crowd import AtWork, Crowd, told
from ledger import balance
from testinfra.host import Host
from webhook import receiver

__all__ = ["receiver"]  # a fixture of all scenarios in which alerts are sent

RATE = 110.0  # requests a second
LEAST = 0.92  # of that
FREE = 400  # visits that can still be booked, at least, when the crowd begins


@pytest.fixture(scope="session")
def host() -> Host:
    """The test host, through `docker exec`."""
    return testinfra.get_host(f"docker://{HOST}")


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[[str], Checkout]:
    """Makes copies of this checkout."""
    return lambda name: Checkout.copy(tmp_path / name)


def all_well(host: Host) -> bool:
    """Tell whether each container of the service is healthy, however many there are."""
    of_service = "--filter label=com.docker.compose.project=cleaning-service"
    found = host.check_output(f"docker ps --all {of_service} --format '{{{{.Status}}}}'").splitlines()
    return bool(found) and all("(healthy)" in status for status in found)


@pytest.fixture
def crowd(host: Host) -> AtWork:
    """Lets the crowd work while a test does something; afterwards no request may have failed."""

    @contextmanager
    def at_work(what: str, rate: float = RATE) -> Iterator[Crowd]:
        wait_until(lambda: all_well(host), 120, "every container healthy before the test")
        crowd = Crowd(f"http://{address()}", rate=rate)
        if not crowd.knows_client() or crowd.prepare() < FREE:
            start_anew(host)
            crowd.prepare()
        crowd.start()
        began = time.monotonic()
        try:
            wait_until(lambda: len(crowd.requests) > 200, 30, "the crowd at work")
            yield crowd
        finally:
            time.sleep(2)
            crowd.close()
        seconds = time.monotonic() - began
        reached = len(crowd.requests) / seconds
        print(f"\n{what}: {told(crowd.requests)}, {reached:.0f} a second")
        found = balance(host, crowd)
        print(
            f"{found.acknowledged} writes acknowledged ({len(crowd.bookings)} of them bookings), "
            f"{len(found.lost)} lost, {len(found.doubled)} doubled"
        )
        assert found.holds, found
        assert crowd.bookings
        assert not any(each.failed for each in crowd.requests), told(crowd.requests)
        assert reached >= LEAST * rate, "this machine is too slow to prove anything"

    return at_work


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the order of their files, and within a file as they are written there; those marked `long` if LONG is set."""
    items.sort(key=lambda item: Path(item.location[0]).name)
    leave_long_out(config, items)
