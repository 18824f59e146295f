"""The order in which containers are replaced."""

import pytest
from cleaning_service_release.compose import Service
from cleaning_service_release.release import rollout_order

ALL = ("redis", "api", "api_2", "api_3", "proxy")


def service(name: str) -> Service:
    kind = "api" if name.startswith("api") else name
    return Service(
        name=name, kind=kind, container=name, image="", url=None, socket_file=None, networks=(), start_period=300.0
    )


@pytest.mark.parametrize(
    ("wanted", "waiting", "running", "order"),
    [
        ("redis api proxy", "redis api proxy", "", "redis api proxy"),  # a first install
        ("redis api api_2 proxy", "api api_2", "redis api api_2 proxy", "api api_2"),
        ("redis api api_2 proxy", "redis api api_2 proxy", "redis api api_2 proxy", "redis api proxy api_2"),
        ("redis api api_2 api_3 proxy", "api api_2 api_3 proxy", "api api_2 api_3 proxy", "api proxy api_2 api_3"),
        ("redis api proxy", "api proxy", "redis api proxy", "proxy api"),
        # More replicas than before, and fewer.
        ("redis api api_2 proxy", "api api_2 proxy", "redis api proxy", "api_2 proxy api"),
        ("redis api api_2 proxy", "api_2 proxy", "redis api proxy", "proxy api_2"),
        ("redis api proxy", "api proxy", "redis api api_2 proxy", "api proxy"),
        ("redis api proxy", "proxy", "redis api api_2 proxy", "proxy"),
        # After an interrupted release.
        ("redis api api_2 proxy", "api_2 proxy", "redis api api_2 proxy", "proxy api_2"),
        ("redis api api_2 proxy", "api_2", "redis api api_2 proxy", "api_2"),
        ("redis api api_2 proxy", "api api_2 proxy", "redis api_2 proxy", "api proxy api_2"),
    ],
)
def test_proxy_always_reaches_a_replica(wanted: str, waiting: str, running: str, order: str) -> None:
    services = [service(name) for name in wanted.split()]
    found = rollout_order(services, waiting.split(), set(running.split()))
    assert " ".join(each.name for each in found) == order
