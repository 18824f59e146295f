"""The converged host, and a client outside it."""

from collections.abc import Iterator

import httpx
import pytest
import testinfra
from converged import HOST, address, all_healthy, wait_until
from testinfra.host import Host

PASSWORD = "correct horse battery"
STAFF = (("office@example.com", "Mia Manager", "manager"), ("cleaner-1@example.com", "Boris Ivanov", "cleaner"))


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


@pytest.fixture
def company(world: httpx.Client) -> None:
    """See that there are a service, an office and a cleaner, as `seed` makes them."""
    login = world.post("/api/v1/auth/login", json={"email": "admin@example.com", "password": PASSWORD})
    admin = {"Authorization": f"Bearer {login.json()['access_token']}", "If-Match": "*"}
    for email, name, role in STAFF:
        person = {"email": email, "password": PASSWORD, "full_name": name}
        registered = world.post("/api/v1/auth/register", json=person)
        if registered.status_code == 201:
            change = world.patch(f"/api/v1/users/{registered.json()['id']}", json={"role": role}, headers=admin)
            assert change.status_code == 200, change.text
    if not world.get("/api/v1/services").json()["items"]:
        service = {"name": "Regular cleaning", "base_price": 1500, "price_per_square_metre": 60, "base_minutes": 90}
        added = world.post("/api/v1/services", json=service, headers=admin)
        assert added.status_code == 201, added.text
