"""The way in: what is asked through the socket files, and what the answers mean."""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cleaning_service_monitor import config, ingress
from cleaning_service_monitor.ingress import NO_ENTRY, NO_ENTRY_BY_IPV6, Entry, Ingress
from cleaning_service_monitor.ladder import Health

from tests.monitor.helpers import PACKAGE_DIRECTORY, component, raw_server, write_config

DOMAIN = "cleaning.example"
WELL = '{"status":"ok","checks":{"database":"ok","redis":"ok"}}'
NO_REDIS = '{"status":"degraded","checks":{"database":"ok","redis":"unavailable"}}'


class Door:
    """The socket files and what lies behind them; `says` by the family of addresses, None for silence."""

    def __init__(self, directory: Path, domain: str) -> None:
        self.says: dict[str, tuple[int, str] | None] = {"ipv4": (200, WELL), "ipv6": (200, WELL)}
        self.asked: list[tuple[str, str]] = []
        self._sockets = ExitStack()
        paths = {family: str(directory / f"{family}.sock") for family in self.says}
        for family, path in paths.items():
            self._sockets.enter_context(raw_server(path, self._answer(family)))
        self.path = write_config(
            directory, [component("redis", "redis", "x")], ingress={**paths, "domain": domain}, check_interval=60
        )
        self.settings = config.load(str(self.path))
        assert self.settings.ingress is not None
        self.ingress = Ingress(self.settings, self.settings.ingress, lambda: True)

    def look(self, *, full: bool = False) -> Entry:
        """Look once."""
        return self.ingress.look(full=full)

    def close(self) -> None:
        """Remove the sockets' servers."""
        self._sockets.close()

    def _answer(self, family: str) -> Callable[[socket.socket], None]:
        def answer(connection: socket.socket) -> None:
            request = connection.recv(4096).decode()
            self.asked.append((family, request.split()[1]))
            said = self.says[family]
            if said is None:
                connection.recv(1)  # until the client has given up
                return
            status, body = said
            connection.sendall(f"HTTP/1.0 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        return answer


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A way in that is well, without a domain."""
    door = Door(tmp_path, "")
    yield door
    door.close()


def test_a_quick_look_is_answered_by_the_proxy_and_a_full_one_by_a_replica(door: Door) -> None:
    door.says = dict.fromkeys(door.says, (404, ""))
    assert door.look().verdict.health is Health.OK
    door.says = dict.fromkeys(door.says, (200, WELL))
    assert door.look(full=True).verdict.health is Health.OK
    assert door.asked == [("ipv4", "/metrics"), ("ipv6", "/metrics"), ("ipv4", "/health"), ("ipv6", "/health")]


@pytest.mark.parametrize(("family", "meaning"), [("ipv4", NO_ENTRY), ("ipv6", NO_ENTRY_BY_IPV6)])
@pytest.mark.parametrize("full", [True, False])
def test_silence_means_that_clients_do_not_get_in(door: Door, family: str, meaning: str, *, full: bool) -> None:
    door.says[family] = None
    verdict = door.look(full=full).verdict
    assert verdict.health is Health.SICK
    assert verdict.cause.startswith(f"{meaning}: GET /")
    assert verdict.cause.endswith("no answer within 0.5 s")


def test_ipv6_is_asked_where_clients_can_use_it(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = tmp_path / "if_inet6"
    monkeypatch.setattr(ingress, "_IF_INET6", addresses)
    assert door.settings.ingress is not None
    real = Ingress(door.settings, door.settings.ingress)
    addresses.write_text(
        "fe800000000000000042acfffe110002 fb 40 20 80 eth0\nfd439cc1b6f200000000000000000001 2 7e 0 80 x\n"
    )
    real.look(full=False)
    assert [family for family, _ in door.asked] == ["ipv4"]
    addresses.write_text("20010db8000000000000000000000001 fb 40 00 80 eth0\n")
    real.look(full=False)
    assert [family for family, _ in door.asked] == ["ipv4", "ipv4", "ipv6"]
    addresses.unlink()
    assert real.look(full=False).verdict.health is Health.OK


def test_a_probe_that_does_not_work_is_told_and_no_reason_for_a_cure(door: Door, tmp_path: Path) -> None:
    (tmp_path / "ipv4.sock").unlink()
    verdict = door.look().verdict
    assert verdict.health is Health.DEGRADED
    assert "the network namespace of the probe does not work" in verdict.cause


@pytest.mark.parametrize("status", [502, 503])
def test_a_refusal_is_not_the_way_in_that_is_closed(door: Door, status: int) -> None:
    door.says = dict.fromkeys(door.says, (status, ""))
    entry = door.look(full=True)
    assert entry.verdict.health is Health.OK
    assert entry.refusal.endswith(f"was answered with {status}")


@pytest.mark.parametrize("said", [(429, ""), (200, "nonsense"), (200, "[]")])
def test_any_answer_of_the_api_has_gone_all_the_way(door: Door, said: tuple[int, str]) -> None:
    door.says = dict.fromkeys(door.says, said)
    assert door.look(full=True) == Entry(door.look().verdict)


def test_an_api_that_does_not_reach_redis_is_told_when_that_lasts(door: Door) -> None:
    door.says["ipv4"] = (200, NO_REDIS)
    door.ingress._has_ipv6 = lambda: False
    assert [door.look(full=True).verdict.health for _ in range(2)] == [Health.OK, Health.DEGRADED]
    door.says["ipv4"] = (200, WELL)
    assert door.look(full=True).verdict.health is Health.OK


class Https:
    """An HTTPS server behind a socket file."""

    def __init__(self, directory: Path) -> None:
        key, certificate = directory / "key.pem", directory / "certificate.pem"
        make = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
        ]
        subprocess.run(
            [*make, "-subj", f"/CN={DOMAIN}", "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.names: list[str | None] = []
        self.requests: list[str] = []

    def answer(self, connection: socket.socket) -> None:
        """Take one connection; as Caddy does, tell a client that speaks plain HTTP of its mistake."""
        if connection.recv(1, socket.MSG_PEEK) == b"G":
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nno")
            return
        with self._context.wrap_socket(connection.dup(), server_side=True) as secured:
            self.requests.append(secured.recv(4096).decode())
            secured.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(NO_REDIS)}\r\n\r\n{NO_REDIS}".encode())


@contextmanager
def by_https(directory: Path, answer: Callable[[socket.socket], None]) -> Iterator[Ingress]:
    """A way in with a domain; `answer` does what the proxy does with each connection."""
    path = str(directory / "ipv4.sock")
    timeouts = {"probe_timeout": 5, "canary_timeout": 15, "check_interval": 60}
    door = {"ipv4": path, "ipv6": path, "domain": DOMAIN}
    loaded = config.load(str(write_config(directory, [component("redis", "redis", "x")], ingress=door, **timeouts)))
    assert loaded.ingress is not None
    with pytest.MonkeyPatch.context() as patch, raw_server(path, answer):
        patch.chdir(PACKAGE_DIRECTORY)
        yield Ingress(loaded, loaded.ingress, lambda: False)


def test_with_a_domain_a_replica_is_asked_by_https(tmp_path: Path) -> None:
    https = Https(tmp_path)
    with by_https(tmp_path, https.answer) as way_in:
        assert way_in.look(full=True).verdict.health is Health.OK
        assert way_in.look(full=True).verdict.health is Health.OK, "the answer stands for a check interval"
    assert https.names == [DOMAIN]
    assert [request.split("\r\n")[0] for request in https.requests] == ["GET /health HTTP/1.1"]
    assert f"Host: {DOMAIN}" in https.requests[0]


def test_a_proxy_without_https_is_told(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nno")

    with by_https(tmp_path, refuse) as way_in:
        verdict = way_in.look(full=True).verdict
    assert verdict.health is Health.DEGRADED
    assert verdict.cause.startswith("clients get in, but not by HTTPS: ")
