"""The API through the proxy: two replicas behind a real Caddy with the configuration of the role."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from bench import rude_clients
from bench.rude_clients import Target
from tests.app.company import at, book, day_ahead, make_cleaner, make_service, order
from tests.app.conftest import API_SETTINGS, RunningApi, Server, api_server, environment_of, new_user, redis_server
from tests.app.people import Person, sign_in
from tests.proxy import PROXY_TOKEN, caddy, replica_socket

ENCODINGS = ["zstd", "gzip", "identity"]
LONG = "x" * 900
"""Makes an answer long enough for the proxy to compress it."""


@dataclass
class ProxiedApi:
    """Two replicas behind the proxy."""

    api: RunningApi
    """The API; its `server` is the proxy."""
    replica: Server
    """One of the replicas."""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[ProxiedApi]:
    directory = tmp_path_factory.mktemp("proxied")
    (directory / "test.db").write_bytes(migrated.read_bytes())
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(directory))
        environment = environment_of(directory, redis) | API_SETTINGS | {"PROXY_TOKEN": PROXY_TOKEN}
        suffixes = ["", "_2"]
        sockets = [{"SOCKET_FILE": str(replica_socket(directory / "proxy", suffix))} for suffix in suffixes]
        replicas = [stack.enter_context(api_server(directory, environment | each)) for each in sockets]
        proxy = stack.enter_context(caddy(directory / "proxy", suffixes))
        served = replace(replicas[0], url=str(proxy.client.base_url).rstrip("/"), socket_file=None)
        yield ProxiedApi(RunningApi(served, stack), replicas[0])


@pytest.fixture(scope="module")
def booked(proxied: ProxiedApi) -> tuple[Person, str]:
    """A client, and the path of a booking whose answer is long enough to be compressed."""
    service = make_service(proxied.api.database)
    make_cleaner(proxied.api)
    client = proxied.api.person()
    answer = book(client.http, order(service, at(day_ahead(5), 10), notes=LONG))
    assert answer.status_code == 201, answer.text
    return client, answer.headers["location"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_conditional_change_works_with_every_encoding(booked: tuple[Person, str], encoding: str) -> None:
    client, path = booked
    read = client.http.get(path, headers={"Accept-Encoding": encoding})
    assert read.headers.get("content-encoding", "identity") == encoding
    changed = client.http.patch(path, json={"notes": LONG + encoding}, headers={"If-Match": read.headers["etag"]})
    assert changed.status_code == 200, changed.text
    late = client.http.patch(path, json={"notes": "late"}, headers={"If-Match": read.headers["etag"]})
    assert (late.status_code, late.json()["type"]) == (412, "/problems/precondition-failed")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_etag_of_a_change_is_valid_for_the_next_change(booked: tuple[Person, str], encoding: str) -> None:
    client, path = booked
    tag = "*"
    for number in range(3):
        headers = {"Accept-Encoding": encoding, "If-Match": tag}
        answer = client.http.patch(path, json={"notes": LONG + str(number)}, headers=headers)
        assert answer.status_code == 200, answer.text
        tag = answer.headers["etag"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_current_representation_is_not_sent_again(proxied: ProxiedApi, encoding: str, form: str) -> None:
    for number in range(5):
        make_service(proxied.api.database, name=f"Service {number}", description=LONG[:500])
    http = proxied.api.anonymous
    services = http.get("/api/v1/services").json()["items"]
    for path in ("/api/v1/services", f"/api/v1/services/{services[0]['id']}"):
        read = http.get(path, headers={"Accept-Encoding": encoding})
        headers = {"Accept-Encoding": encoding, "If-None-Match": form.format(read.headers["etag"])}
        again = http.get(path, headers=headers)
        assert (again.status_code, again.content) == (304, b""), (path, headers)


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"{}"', 200),
        ('"{}-gzip"', 200),
        ('"{}-zstd"', 200),
        ('"{}-br"', 200),
        ('"0", "{}"', 200),
        (',"{}",,', 200),
        ("*", 200),
        ('W/"{}"', 412),
        ('"0{}"', 412),
        ('"+{}"', 412),
        ('"{} "', 422),
        ('"{}-deflate"', 412),
        ('"', 422),
        ("{}", 422),
        ('"{}" "{}"', 422),
        ('*, "{}"', 422),
        ('w/"{}"', 422),
        ("", 422),
    ],
)
def test_forms_of_if_match(booked: tuple[Person, str], if_match: str, status: int) -> None:
    client, path = booked
    version = client.http.get(path).headers["etag"].strip('"').partition("-")[0]
    headers = {"If-Match": if_match.format(version, version)}
    answer = client.http.patch(path, json={"address": f"Main Street {time.monotonic_ns()}"}, headers=headers)
    assert answer.status_code == status, answer.text


def test_repeated_if_match_headers_are_one_list(booked: tuple[Person, str]) -> None:
    client, path = booked
    tag = client.http.get(path).headers["etag"]
    lines = [("If-Match", '"0"'), ("If-Match", tag)]
    assert client.http.patch(path, json={"address": "Two Lines 1"}, headers=lines).status_code == 200
    assert client.http.patch(path, json={"address": "No Lines 1"}).status_code == 428


def seen_address(proxied: ProxiedApi, server: Server, headers: dict[str, str]) -> str:
    """Log in with these headers, and return the network address in the list of sessions."""
    with server.client(headers) as http:
        person = sign_in(http, proxied.api.database, new_user(), "client")
        return str(person.http.get("/api/v1/users/me/sessions").json()["items"][0]["address"])


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "unknown"),
        ({"X-Forwarded-For": "192.0.2.66"}, "unknown"),
        ({"X-Forwarded-For": "192.0.2.66", "X-Proxy-Token": "guessed"}, "unknown"),
        ({"X-Forwarded-For": "192.0.2.66", "X-Proxy-Token": PROXY_TOKEN}, "192.0.2.66"),
        ({"X-Forwarded-For": "192.0.2.1, 2001:db8::7", "X-Proxy-Token": PROXY_TOKEN}, "2001:db8::7"),
        ({"X-Forwarded-For": "nonsense", "X-Proxy-Token": PROXY_TOKEN}, "unknown"),
    ],
)
def test_forwarded_address_requires_the_proxy_token(proxied: ProxiedApi, headers: dict[str, str], address: str) -> None:
    """A Unix socket has no peer address, so only the token of the proxy makes an address trustworthy."""
    assert seen_address(proxied, proxied.replica, headers) == address


def test_proxy_ignores_forwarded_addresses_of_clients(proxied: ProxiedApi) -> None:
    server = proxied.api.server
    assert seen_address(proxied, server, {"X-Forwarded-For": "192.0.2.66", "X-Proxy-Token": "guessed"}) == "127.0.0.1"


@pytest.mark.parametrize("kind", ["broken-off-body", "broken-off-get", "bad-chunk", "expect-continue"])
def test_aborted_request_body_does_not_affect_other_clients(proxied: ProxiedApi, kind: str) -> None:
    url = httpx.URL(proxied.api.server.url)
    rude = rude_clients.start(kind, Target("127.0.0.1", url.port or 80), connections=2, seconds=4)
    time.sleep(1.5)
    statuses = []
    while rude.process.poll() is None:
        statuses.append(proxied.api.anonymous.get("/api/v1/services").status_code)
        time.sleep(0.05)
    assert rude.outcomes()
    assert set(statuses) == {200}


def flood(proxied: ProxiedApi, address: str, stop: threading.Event) -> Counter[int]:
    """Log in to unknown accounts from one address until stopped, and count the statuses of the answers."""
    headers = {"X-Forwarded-For": address, "X-Proxy-Token": PROXY_TOKEN}
    statuses: Counter[int] = Counter()
    with proxied.replica.client(headers) as http:
        while not stop.is_set():
            body = {"email": f"{secrets.token_hex(8)}@example.com", "password": "correct horse battery"}
            statuses[http.post("/api/v1/auth/login", json=body).status_code] += 1
    return statuses


@pytest.mark.alone
def test_guessing_clients_do_not_block_the_login_of_another(proxied: ProxiedApi) -> None:
    person = proxied.api.person()
    credentials = {"email": person.email, "password": person.password}
    stop = threading.Event()
    addresses = [f"198.51.100.{number}" for number in range(1, 4)]
    with ThreadPoolExecutor(150) as threads:
        floods = [threads.submit(flood, proxied, address, stop) for address in addresses for _ in range(50)]
        try:
            time.sleep(1)
            headers = {"X-Forwarded-For": "203.0.113.9", "X-Proxy-Token": PROXY_TOKEN}
            with proxied.replica.client(headers) as http:
                answers = [http.post("/api/v1/auth/login", json=credentials).status_code for _ in range(5)]
        finally:
            stop.set()
        found = sum((each.result() for each in floods), Counter[int]())
    assert answers == [200] * 5
    assert set(found) <= {401, 429, 503}


def test_login_failures_per_client_are_limited_over_all_accounts(proxied: ProxiedApi) -> None:
    headers = {"X-Forwarded-For": "198.51.100.77", "X-Proxy-Token": PROXY_TOKEN}

    def guess(number: int) -> int:
        body = {"email": f"victim-{number}@example.com", "password": "correct horse battery"}
        return http.post("/api/v1/auth/login", json=body).status_code

    with proxied.replica.client(headers) as http:
        person = sign_in(http, proxied.api.database, new_user(), "client")  # a success does not count
        with ThreadPoolExecutor(8) as threads:
            found = Counter(
                threads.map(guess, range(210))
            )  # more than the limits of two windows, because one may end in between
        assert found.keys() == {401, 429}
        assert 100 <= found[401] <= 200
        credentials = {"email": person.email, "password": person.password}
        assert http.post("/api/v1/auth/login", json=credentials).status_code == 429


def test_ipv6_network_counts_as_one_client(proxied: ProxiedApi) -> None:
    with ExitStack() as stack:
        statuses = Counter[int]()
        for number in range(22):  # more than the limits of two windows, because one may end in between
            headers = {"X-Forwarded-For": f"2001:db8:7:7::{number:x}", "X-Proxy-Token": PROXY_TOKEN}
            http = stack.enter_context(proxied.replica.client(headers))
            body = {"email": "victim@example.com", "password": "correct horse battery"}
            statuses[http.post("/api/v1/auth/login", json=body).status_code] += 1
    assert statuses.keys() == {401, 429}
    assert 10 <= statuses[401] <= 20


@pytest.mark.alone
def test_flood_of_health_requests_keeps_replicas_ready(proxied: ProxiedApi) -> None:
    stop = threading.Event()

    def look() -> Counter[int]:
        statuses: Counter[int] = Counter()
        with httpx.Client(base_url=proxied.api.server.url, timeout=40, trust_env=False) as http:
            while not stop.is_set():
                statuses[http.get("/health").status_code] += 1
        return statuses

    with ThreadPoolExecutor(40) as threads:
        floods = [threads.submit(look) for _ in range(40)]
        try:
            ready = []
            for _ in range(20):
                with proxied.replica.client() as http:
                    ready.append(http.get("/health/ready").status_code)
                time.sleep(0.1)
        finally:
            stop.set()
        found = sum((each.result() for each in floods), Counter[int]())
    assert set(ready) == {200}
    assert set(found) <= {200, 429}
