"""The API knows the address of each client, over IPv4 and IPv6, and believes nobody but the proxy about it."""

import json
import shlex
from collections.abc import Iterator

import pytest
from converged import new_user
from testinfra.host import Host

GUEST = "guest"
CURL = "curl --silent --show-error --fail --globoff --max-time 20 --header 'Content-Type: application/json'"
NETWORK = f"""
ip netns add {GUEST}
ip link add guest0 type veth peer name eth0 netns {GUEST}
ip link set guest0 up
ip address add 10.99.0.1/24 dev guest0
ip address add fd00:99::1/64 dev guest0 nodad
ip netns exec {GUEST} ip link set lo up
ip netns exec {GUEST} ip link set eth0 up
ip netns exec {GUEST} ip address add 10.99.0.2/24 dev eth0
ip netns exec {GUEST} ip address add fd00:99::2/64 dev eth0 nodad
"""
"""A client in a network of its own, one hop from the host."""
FORGED = "--header 'X-Forwarded-For: 192.0.2.66' --header 'X-Proxy-Token: guessed'"


@pytest.fixture(scope="module", autouse=True)
def _guest(host: Host) -> Iterator[None]:
    host.check_output(f"set -e {NETWORK}")
    yield
    host.check_output(f"ip netns del {GUEST}; ip link del guest0 || true")


def seen_address(host: Host, curl: str, url: str) -> str:
    """Register and log in with `curl`, and return the address that the list of sessions shows for it."""
    user = new_user()
    host.check_output(f"{curl} {url}/api/v1/auth/register --data {shlex.quote(json.dumps(user))}")
    credentials = json.dumps({"email": user["email"], "password": user["password"]})
    login = json.loads(host.check_output(f"{curl} {url}/api/v1/auth/login --data {shlex.quote(credentials)}"))
    authorization = f"--header 'Authorization: Bearer {login['access_token']}'"
    sessions = json.loads(host.check_output(f"{curl} {authorization} {url}/api/v1/users/me/sessions"))
    return str(sessions["items"][0]["address"])


@pytest.mark.parametrize(
    ("url", "address"), [("http://10.99.0.1", "10.99.0.2"), ("http://[fd00:99::1]", "fd00:99::2")], ids=["IPv4", "IPv6"]
)
@pytest.mark.parametrize("claim", ["", FORGED], ids=["honest", "forged"])
def test_through_the_proxy_each_client_has_its_own_address(host: Host, url: str, address: str, claim: str) -> None:
    curl = f"ip netns exec {GUEST} {CURL} {claim}"
    assert seen_address(host, curl, url) == address


def test_a_neighbour_of_the_api_cannot_choose_an_address(host: Host) -> None:
    assert seen_address(host, f"{CURL} {FORGED}", "http://127.0.0.1:8001") != "192.0.2.66"
