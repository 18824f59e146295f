"""One look: real containers, real HTTP, and services that misbehave on demand."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cleaning_service_monitor import config
from cleaning_service_monitor.docker import Container, Engine
from cleaning_service_monitor.ladder import DOCKER, Health, Verdict
from cleaning_service_monitor.probes import REFUSED_WRITES, Prober, _all_at_once, _judge_container, why_unusable

from tests.monitor.helpers import SOCKET, TOKEN, Service, component, docker, raw_server, write_config

REDIS = config.Component("redis", "redis", "redis", "montest-redis", None)
API = config.Component("api", "api", "api", "montest-api", config._target("http://127.0.0.1:8001", "url"))


@pytest.mark.parametrize(
    ("container", "health"),
    [
        (None, Health.MISSING),
        (Container("created", "", "Created"), Health.STARTING),
        (Container("restarting", "", "Restarting (1) 2 seconds ago"), Health.STARTING),
        (Container("exited", "", "Exited (137) 2 seconds ago"), Health.DOWN),
        (Container("dead", "", "Dead"), Health.DOWN),
        (Container("paused", "", "Up 2 hours (Paused)"), Health.DOWN),
        (Container("running", "starting", "Up 2 seconds (health: starting)"), Health.STARTING),
        (Container("running", "unhealthy", "Up 2 hours (unhealthy)"), Health.SICK),
        (Container("running", "healthy", "Up 2 hours (healthy)"), Health.OK),
        (Container("running", "", "Up 2 hours"), Health.OK),
    ],
)
def test_what_docker_says_of_redis(container: Container | None, health: Health) -> None:
    verdict = _judge_container(REDIS, container)
    assert verdict.health is health
    assert verdict.health.well or (container.status if container else "montest-redis") in verdict.cause


def test_a_health_check_that_fails_under_load_does_not_condemn_what_answers() -> None:
    assert _judge_container(API, Container("running", "unhealthy", "Up 2 hours (unhealthy)")).health is Health.OK


class Stack:
    """Containers for an API replica and for the proxy; what they answer comes from services of this process."""

    def __init__(
        self, directory: Path, api: Service, proxy: Service, containers: tuple[str, str], **settings: object
    ) -> None:
        self.proxy = proxy
        components = [
            component("api", "api", containers[0], api.port),
            component("proxy", "proxy", containers[1], proxy.port),
        ]
        self.prober = Prober(config.load(str(write_config(directory, components, **settings))), Engine(SOCKET))

    def look(self, *, full: bool = False) -> dict[str, Verdict]:
        """Look, and return the verdicts by component."""
        return {verdict.component: verdict for verdict in self.prober.look(full=full).verdicts}


@pytest.fixture
def proxy() -> Iterator[Service]:
    """A second service beside the API's."""
    server = Service()
    yield server
    server.close()


@pytest.fixture(scope="module")
def containers(idle_container: Callable[..., str]) -> tuple[str, str]:
    """One container for each of both, for all tests that only look at them."""
    return idle_container("api"), idle_container("proxy")


@pytest.fixture
def stack(tmp_path: Path, service: Service, proxy: Service, containers: tuple[str, str]) -> Stack:
    """A stack of which all is well."""
    return Stack(tmp_path, service, proxy, containers)


@pytest.mark.docker
def test_all_is_well(stack: Stack, service: Service) -> None:
    assert {name: verdict.health for name, verdict in stack.look(full=True).items()} == {
        DOCKER: Health.OK,
        "api": Health.OK,
        "proxy": Health.OK,
    }
    assert service.requests == [("GET", "/health/ready", ""), ("POST", "/internal/canary", f"Bearer {TOKEN}")]


@pytest.mark.docker
def test_how_long_the_api_took_is_told(stack: Stack, service: Service) -> None:
    look = stack.prober.look(full=True)
    assert look.response is not None
    assert look.registration is not None
    assert 0 < look.response < 1
    service.status["/health/ready"] = 503
    assert stack.prober.look(full=True).response is None


@pytest.mark.docker
def test_a_quick_look_registers_nobody(stack: Stack, service: Service) -> None:
    stack.look()
    assert [path for _, path, _ in service.requests] == ["/health/ready"]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("status", "health"), [(200, Health.OK), (503, Health.REFUSING), (500, Health.SICK), (404, Health.SICK)]
)
def test_the_answer_to_readiness(stack: Stack, service: Service, status: int, health: Health) -> None:
    service.status["/health/ready"] = status
    assert stack.look()["api"].health is health


@pytest.mark.docker
@pytest.mark.parametrize(
    ("status", "health"), [(503, Health.REFUSING), (500, Health.SICK), (401, Health.DEGRADED), (404, Health.DEGRADED)]
)
def test_the_answer_to_the_canary(stack: Stack, service: Service, status: int, health: Health) -> None:
    service.status["/internal/canary"] = status
    verdict = stack.look(full=True)["api"]
    assert verdict.health is health
    assert str(status) in verdict.cause


@pytest.mark.docker
def test_an_api_that_says_it_cannot_write_is_believed(stack: Stack, service: Service) -> None:
    service.body["/health/ready"] = b'{"status":"ok","writes":"refused","cause":"database is locked"}'
    verdict = stack.look(full=True)["api"]
    assert (verdict.health, verdict.cause) == (Health.REFUSING, f"{REFUSED_WRITES}: database is locked")
    assert [path for _, path, _ in service.requests] == ["/health/ready"]
    full = {verdict.component: verdict for verdict in stack.prober.look(full=True, disk_full=True).verdicts}
    assert full["api"].health is Health.DEGRADED


@pytest.mark.docker
def test_what_no_restart_can_change_is_told_with_its_cause(stack: Stack, service: Service) -> None:
    owner = "/data/x.db belongs to the user 0 with the mode 0644"
    service.body["/health/ready"] = f'{{"status":"ok","writes":"forbidden","cause":"{owner}"}}'.encode()
    verdict = stack.look(full=True)["api"]
    assert (verdict.health, verdict.cause) == (Health.FORBIDDEN, f"{REFUSED_WRITES}: {owner}")
    service.status["/health/ready"] = 503
    service.body["/health/ready"] = b'{"type":"/problems/database-file-moved","detail":"the database file is missing"}'
    verdict = stack.look()["api"]
    assert verdict.health is Health.BLOCKED
    assert verdict.cause == "GET /health/ready was answered with 503: the database file is missing"
    service.body["/health/ready"] = b'{"type":"/problems/not-ready","detail":"A write does not end."}'
    verdict = stack.look()["api"]
    assert verdict.health is Health.REFUSING
    assert verdict.cause.endswith("503: A write does not end.")


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        ("the container ended with exit code 66", "the database is missing: put it back"),
        ("container is restarting: Restarting (66) 3 seconds ago", "the database is missing: put it back"),
        ("container is exited: Exited (77) 3 seconds ago", "files of the service belong to another user"),
        ("the container ended with exit code 1", ""),
        ("the container ended with exit code 137 (killed)", ""),
        ("the container ended with exit code 661", ""),
    ],
)
def test_why_a_container_cannot_start(cause: str, why: str) -> None:
    assert why_unusable(cause).startswith(why)
    assert bool(why_unusable(cause)) == bool(why)


@pytest.mark.docker
@pytest.mark.parametrize("path", ["/health/ready", "/internal/canary"])
def test_a_hang_is_found_in_time(stack: Stack, service: Service, path: str) -> None:
    service.delay[path] = 30
    begun = time.monotonic()
    verdict = stack.look(full=True)["api"]
    assert time.monotonic() - begun < 2
    assert verdict.health is Health.SICK
    assert "no answer within 0.5 s" in verdict.cause


@pytest.mark.docker
def test_a_paused_container_is_not_asked(
    tmp_path: Path, service: Service, proxy: Service, container: Callable[..., str], containers: tuple[str, str]
) -> None:
    paused = container("api")
    docker("pause", paused)
    stack = Stack(tmp_path, service, proxy, (paused, containers[1]))
    assert stack.look(full=True)["api"].health is Health.DOWN
    assert service.requests == []


@pytest.mark.docker
@pytest.mark.parametrize("status", [204, 308, 404])
def test_a_proxy_that_answers_is_well(stack: Stack, status: int) -> None:
    stack.proxy.status["/metrics"] = status
    assert stack.look()["proxy"].health is Health.OK


@pytest.mark.docker
def test_a_proxy_without_a_well_replica_is_not_what_must_be_cured(stack: Stack, service: Service) -> None:
    service.status["/health/ready"] = 503
    assert stack.look()["proxy"].health is Health.OK
    stack.proxy.status["/metrics"] = 502
    assert stack.look()["proxy"].health is Health.REFUSING
    stack.proxy.delay["/metrics"] = 30
    assert stack.look()["proxy"].health is Health.SICK


@pytest.mark.docker
def test_a_proxy_that_answers_instead_of_a_replica_that_serves_must_be_cured(
    tmp_path: Path, service: Service, proxy: Service, containers: tuple[str, str]
) -> None:
    path = str(tmp_path / "way-in.sock")
    stack = Stack(tmp_path, service, proxy, containers, ingress={"ipv4": path, "ipv6": path})

    def refuse(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 502 X\r\n\r\n")

    with raw_server(path, refuse):
        verdicts = stack.look(full=True)
        assert (verdicts["proxy"].health, verdicts["ingress"].health) == (Health.REFUSING, Health.OK)
        assert verdicts["proxy"].cause == "GET /health through the published port was answered with 502"
        assert stack.prober.look(full=False, proving=["proxy"]).verdicts[2].health is Health.REFUSING
        assert stack.look()["proxy"].health is Health.OK
        service.status["/health/ready"] = 503
        assert stack.look(full=True)["proxy"].health is Health.OK, "it is the replicas' fault"


@pytest.mark.docker
def test_a_starting_replica_is_well_as_soon_as_it_answers(
    tmp_path: Path, service: Service, proxy: Service, container: Callable[..., str], containers: tuple[str, str]
) -> None:
    starting = container("api", "--health-cmd=exit 1", "--health-start-period=60s")
    stack = Stack(tmp_path, service, proxy, (starting, containers[1]))
    service.status["/health/ready"] = 500
    assert stack.look()["api"].health is Health.STARTING
    service.status["/health/ready"] = 200
    assert stack.look()["api"].health is Health.OK


def test_docker_that_answers_nonsense_is_the_only_verdict(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    settings = write_config(tmp_path, [component("redis", "redis", "montest-redis")], docker_socket=path)
    prober = Prober(config.load(str(settings)), Engine(path))
    with raw_server(path, lambda connection: connection.sendall(b"nonsense\r\n\r\n")):
        (verdict,) = prober.look(full=True).verdicts
    assert (verdict.component, verdict.health) == (DOCKER, Health.SICK)


def test_a_probe_that_is_stuck_beyond_its_time_out_does_not_hold_up_the_look() -> None:
    stuck = threading.Event()

    def never() -> Verdict:
        stuck.wait(20)
        return Verdict("api", Health.OK)

    begun = time.monotonic()
    verdicts = _all_at_once({"api": never, "proxy": lambda: Verdict("proxy", Health.OK)}, 0.2)
    stuck.set()
    assert time.monotonic() - begun < 1
    assert {name: verdict.health for name, verdict in verdicts.items()} == {"api": Health.SICK, "proxy": Health.OK}


class Redis:
    """Accepts connections on an address of this machine and says one thing, or nothing."""

    def __init__(self, says: bytes | None) -> None:
        # Redis' port is always the same; of the addresses, each test process takes one of its own.
        self.address = f"127.77.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
        self._listener = socket.create_server((self.address, 6379))
        self._says = says
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)
                if self._says is None:
                    connection.settimeout(20)
                    with contextlib.suppress(TimeoutError):
                        connection.recv(100)  # until the client hangs up
                else:
                    connection.sendall(self._says)

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(
    ("says", "health"),
    [
        (b"+PONG\r\n", Health.OK),
        (b"-NOAUTH Authentication required.\r\n", Health.OK),
        (b"-LOADING Redis is loading the dataset in memory\r\n", Health.STARTING),
        (b"-MISCONF Errors writing to the AOF file\r\n", Health.SICK),
        (None, Health.SICK),
    ],
)
def test_redis_is_asked_at_its_own_address(tmp_path: Path, says: bytes | None, health: Health) -> None:
    prober = Prober(config.load(str(write_config(tmp_path, [component("redis", "redis", "x")]))), Engine(SOCKET))
    redis = Redis(says)
    container = Container("running", "healthy", "Up", {"backend": redis.address})
    begun = time.monotonic()
    try:
        verdict = prober._ping(REDIS, container, Verdict("redis", Health.OK))
    finally:
        redis.close()
    assert verdict.health is health
    assert time.monotonic() - begun < 5
    if says is None:
        assert verdict.cause == "PING: no answer within 0.5 s"


@pytest.mark.docker
def test_a_canary_that_fails_on_a_full_disk_condemns_nobody(stack: Stack, service: Service) -> None:
    service.status["/internal/canary"] = 503
    looks = [stack.prober.look(full=True, disk_full=full).verdicts for full in (False, True)]
    healths = [{verdict.component: verdict.health for verdict in look}["api"] for look in looks]
    assert healths == [Health.REFUSING, Health.DEGRADED]


@pytest.mark.docker
def test_only_what_is_to_be_proved_is_asked_everything(stack: Stack, service: Service) -> None:
    stack.prober.look(full=False, proving=["proxy"])
    assert not [path for _, path, _ in service.requests if "canary" in path]
    stack.prober.look(full=False, proving=["api"])
    assert [path for _, path, _ in service.requests if "canary" in path]


def test_a_container_off_its_network_is_sick() -> None:
    watched = config.Component("api", "api", "api", "montest-api", None, ("backend",))
    verdict = _judge_container(watched, Container("running", "healthy", "Up", {"frontend": "10.0.0.2"}))
    assert (verdict.health, verdict.cause) == (Health.SICK, "container is not attached to its network backend")
