"""A neighbour reaches nothing but the proxy; the API knows the address of each client, and believes only the proxy."""

import json
import shlex
from collections.abc import Iterator

import pytest
from converged import ASK_API, CONTAINERS, PROXY, address, inspect, new_user
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
ip netns exec {GUEST} ip route add default via 10.99.0.1
ip netns exec {GUEST} ip route add default via fd00:99::1
"""
"""A client in a network of its own, one hop from the host, which is its way to all others."""
PORTS = {80, 443, 2019, 2375, 6379, 8000, 8001, 8002, 8003, 8080, 8099, 9090}
SCAN = """
import asyncio, json, sys

async def answers(address, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 2)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True

async def main():
    targets = json.loads(sys.argv[1])
    found = await asyncio.gather(*(answers(*target) for target in targets))
    print(json.dumps([target for target, answered in zip(targets, found) if answered]))

asyncio.run(main())
"""
"""Prints which of some addresses and ports accept a connection."""
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


def test_forwarded_address_requires_the_proxy_token(host: Host) -> None:
    assert seen_address(host, f"{CURL} {FORGED}", ASK_API) == "unknown"


@pytest.fixture
def _forwarding(host: Host) -> Iterator[None]:
    """Let the host forward all that no rule of Docker's refuses, as hosts do on which something else has said so."""
    policy = "--list-rules FORWARD | sed --quiet 's/^-P FORWARD //p'"
    before = {program: host.check_output(f"{program} {policy}") for program in ("iptables", "ip6tables")}
    for program in before:
        host.check_output(f"{program} --policy FORWARD ACCEPT")
    yield
    for program, target in before.items():
        host.check_output(f"{program} --policy FORWARD {target}")


def listening(host: Host, container: str) -> set[int]:
    """The TCP ports at which anything in a container listens, at whatever address."""
    process = inspect(host, container)["State"]["Pid"]
    lines = host.check_output(
        f"nsenter --target {process} --net ss --no-header --listening --tcp --numeric"
    ).splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


@pytest.mark.usefixtures("_forwarding")
def test_a_neighbour_reaches_nothing_but_the_proxy(host: Host) -> None:
    """It sends to the addresses of the containers by way of the host."""
    of_container = {
        name: [
            each[key]
            for each in inspect(host, name)["NetworkSettings"]["Networks"].values()
            for key in ("IPAddress", "GlobalIPv6Address")
            if each[key]
        ]
        for name in CONTAINERS
    }
    of_host = ["10.99.0.1", "fd00:99::1", address()]
    addresses = [*of_host, *(each for found in of_container.values() for each in found)]
    ports = PORTS.union(*(listening(host, name) for name in CONTAINERS))
    targets = json.dumps([(each, port) for each in addresses for port in sorted(ports)])
    found = json.loads(
        host.check_output(f"ip netns exec {GUEST} python3 -c {shlex.quote(SCAN)} {shlex.quote(targets)}")
    )
    allowed = {(each, 80) for each in of_host} | {(each, 8080) for each in of_container[PROXY]}
    assert {(each, port) for each, port in found} == allowed
