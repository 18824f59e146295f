"""One look at everything: what Docker says of the containers, and what the services answer."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from cleaning_service_monitor.config import Component, Config
from cleaning_service_monitor.docker import Container, Engine, EngineAwayError, EngineError
from cleaning_service_monitor.ingress import Ingress
from cleaning_service_monitor.ladder import DOCKER, INGRESS, Health, Verdict
from cleaning_service_monitor.transport import (
    Answer,
    DeadlineSocket,
    NoAnswerError,
    Target,
    TcpTarget,
    request,
    telling_why,
)

_SUCCESS = 200
_SERVER_ERROR = 500
_REFUSAL = 503
_TOKEN_REFUSED = (401, 403, 404)  # the canary's answers when the configuration is wrong, not the API

_HEADERS = {"User-Agent": "cleaning-service-monitor"}
CANARY = "the registration canary"
CANARY_TOKEN_REFUSED = f"{CANARY} was refused"
REFUSED_WRITES = "the API refuses writes"
DATA_REMOVED = "the directory that Redis writes to was removed"
_MOVED = "/problems/database-file-moved"
# What a container says that cannot start for the data's sake: the exit codes EX_NOINPUT and EX_NOPERM of sysexits.h.
UNUSABLE = {
    'the database is missing: put it back (docs/operations.md, "The database is missing")': Health.BLOCKED,
    "files of the service belong to another user: run cleaning-service-release mend-owners": Health.FORBIDDEN,
}
_BY_CODE = dict(zip(("66", "77"), UNUSABLE, strict=True))
_EXIT_CODE = re.compile(r"exit code (66|77)\b|\((66|77)\)")

# The proxy is asked for what it refuses by itself: anything else would wait for the API, and be the API's fault.
_ANSWERED_BY_THE_PROXY = "/metrics"

# What Redis answers to a PING without the password: that it is there, and that it is still reading its file.
_REDIS_PORT = 6379
_REDIS_WELL = (b"+PONG", b"-NOAUTH")
_REDIS_STARTING = b"-LOADING"

# Docker's container states in which the container is on its way; how long it may be is the ladder's to judge.
_ON_THE_WAY = ("created", "restarting", "removing")


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        verdicts: one for each component, or for Docker alone when it is silent.
        response: seconds the slowest replica took to say that it is ready; None where none did.
        registration: the same of the slowest registration canary.
    """

    verdicts: Sequence[Verdict]
    response: float | None = None
    registration: float | None = None


class Prober:
    """Looks at the components. A look is bounded: Docker's listing, then all services at the same time."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._ingress = Ingress(config, config.ingress) if config.ingress else None
        proxies = [component.name for component in config.components if component.kind == "proxy"]
        self._with_ingress = {INGRESS, *proxies}  # what a request through the proxy to a replica proves
        # The sockets' own deadlines end every probe before this; it bounds a thread that is stuck elsewhere.
        self._bound = config.probe_timeout + config.canary_timeout + 1.0

    def look(self, *, full: bool, proving: Collection[str] = (), disk_full: bool = False) -> Look:
        """Judge every component, or Docker alone when it is silent.

        Args:
            full: register through each API replica too (the canary), not only ask whether it is ready.
            proving: components of which everything is asked in any case.
            disk_full: nobody can write now: a canary that fails is no reason to restart an API that still reads.
        """
        try:
            containers = self._engine.containers(component.container for component in self._config.components)
        except EngineAwayError as error:
            return Look([Verdict(DOCKER, Health.DOWN, str(error))])
        except EngineError as error:
            return Look([Verdict(DOCKER, Health.SICK, str(error))])
        verdicts: dict[str, Verdict] = {}
        probes: dict[str, Callable[[], Verdict]] = {}
        taken: dict[str, float] = {}  # seconds, by what was asked
        for component in self._config.components:
            container = containers.get(component.container)
            told = verdicts[component.name] = self._judge_container(component, container)
            if container and container.state == "running" and component.attached(container.networks):
                rehearse = full or component.name in proving
                probes[component.name] = partial(self._ask, component, container, told, taken, rehearse=rehearse)
        refusals: list[str] = []
        if self._ingress:
            through = full or not self._with_ingress.isdisjoint(proving)
            probes[INGRESS] = partial(_enter, self._ingress, refusals, through=through)
        verdicts |= _all_at_once(probes, self._bound)
        if refusals:
            verdicts = self._blame_proxy(verdicts, refusals[0])
        if disk_full:
            verdicts = {name: _excuse_full_disk(verdict) for name, verdict in verdicts.items()}
        # In this order: who may be to blame for a way in that does not work comes before it.
        ordered = [verdicts[name] for name in (*(c.name for c in self._config.components), INGRESS) if name in verdicts]
        return Look([Verdict(DOCKER, Health.OK), *ordered], taken.get("answer"), taken.get("canary"))

    def _blame_proxy(self, verdicts: dict[str, Verdict], refusal: str) -> dict[str, Verdict]:
        """See that a proxy is unwell which answers instead of the replicas although one of them serves."""
        kinds = {component.name: component.kind for component in self._config.components}
        if not any(verdicts[name].health is Health.OK for name, kind in kinds.items() if kind == "api"):
            return verdicts
        return {
            name: Verdict(name, Health.REFUSING, refusal)
            if kinds.get(name) == "proxy" and verdict.health is Health.OK
            else verdict
            for name, verdict in verdicts.items()
        }

    def _ask(
        self, component: Component, container: Container, told: Verdict, taken: dict[str, float], *, rehearse: bool
    ) -> Verdict:
        """Ask the service itself; `told` is what Docker says, and stands while the service is starting."""
        begun = time.monotonic()
        if component.kind == "redis":
            verdict = self._ping(component, container, told)
        elif component.kind == "proxy":
            verdict = self._get(component, _ANSWERED_BY_THE_PROXY)
        else:
            verdict = self._get(component, "/health/ready")
            if verdict.health is Health.OK:
                taken["answer"] = max(time.monotonic() - begun, taken.get("answer", 0.0))
            # The canary is a write too: one that would only be refused after a while proves nothing more.
            if rehearse and verdict.health is Health.OK:
                begun = time.monotonic()
                verdict = self._canary(component)
                if verdict.health is Health.OK:
                    taken["canary"] = max(time.monotonic() - begun, taken.get("canary", 0.0))
        return told if told.health is Health.STARTING and not verdict.health.well else verdict

    def _ping(self, component: Component, container: Container, told: Verdict) -> Verdict:
        """Ask Redis, which is not published, at its container's own address."""
        address = next((address for address in container.networks.values() if address), None)
        if address is None:
            if not component.networks:
                return told
            return Verdict(component.name, Health.STARTING, f"container has no address yet: {container.status}")
        timeout = self._config.probe_timeout
        target = TcpTarget(socket.AF_INET6 if ":" in address else socket.AF_INET, address, _REDIS_PORT)
        try:
            with telling_why(timeout), DeadlineSocket(target, timeout) as connection:
                connection.sendall(b"PING\r\n")
                answer = connection.recv()
        except NoAnswerError as error:
            return Verdict(component.name, Health.SICK, f"PING: {error}")
        if answer.startswith(_REDIS_WELL):
            removed = container.health == "unhealthy" and DATA_REMOVED in self._engine.health_output(
                component.container
            )
            return Verdict(component.name, Health.SICK, DATA_REMOVED) if removed else Verdict(component.name, Health.OK)
        said = answer[:100].decode("ascii", "replace").strip() or "nothing"
        health = Health.STARTING if answer.startswith(_REDIS_STARTING) else Health.SICK
        return Verdict(component.name, health, f"PING was answered with {said}")

    def _judge_container(self, component: Component, container: Container | None) -> Verdict:
        verdict = _judge_container(component, container)
        if verdict.health is Health.DOWN:
            why = self._engine.end_of(component.container)
            return Verdict(verdict.component, verdict.health, f"{verdict.cause} ({why})") if why else verdict
        return verdict

    def _get(self, component: Component, path: str) -> Verdict:
        what = f"GET {path}"
        try:
            answer = request(_target(component), "GET", path, timeout=self._config.probe_timeout, headers=_HEADERS)
        except NoAnswerError as error:
            return Verdict(component.name, Health.SICK, f"{what}: {error}")
        # A proxy does its work below 500: with a domain set, it answers a request by address with a redirect.
        well = answer.status == _SUCCESS or (component.kind == "proxy" and answer.status < _SERVER_ERROR)
        if not well:
            return _refused(component, what, answer)
        writes = _fields(answer) if component.kind == "api" else {}
        if writes.get("writes") in ("refused", "forbidden"):
            health = Health.FORBIDDEN if writes["writes"] == "forbidden" else Health.REFUSING
            return Verdict(component.name, health, f"{REFUSED_WRITES}: {writes.get('cause', 'it does not say why')}")
        return Verdict(component.name, Health.OK)

    def _canary(self, component: Component) -> Verdict:
        what = CANARY
        headers = {**_HEADERS, "Authorization": f"Bearer {self._config.canary_token}", "Content-Length": "0"}
        timeout = self._config.canary_timeout
        try:
            answer = request(_target(component), "POST", "/internal/canary", timeout=timeout, headers=headers)
        except NoAnswerError as error:
            return Verdict(component.name, Health.SICK, f"{what}: {error}")
        if answer.status == _SUCCESS:
            return Verdict(component.name, Health.OK)
        if answer.status in _TOKEN_REFUSED:
            cause = f"{CANARY_TOKEN_REFUSED} with {answer.status}: is canary_token the API's CANARY_TOKEN?"
            return Verdict(component.name, Health.DEGRADED, cause)
        return _refused(component, what, answer)


def _judge_container(component: Component, container: Container | None) -> Verdict:
    """Judge by what Docker says.

    Docker's health check alone condemns only a component that cannot be asked otherwise (Redis, which is not
    published): under full load a health check may miss its time-out while the service itself answers.
    """
    name = component.name
    if container is None:
        return Verdict(name, Health.MISSING, f"there is no container {component.container}")
    if container.state != "running":
        health = Health.STARTING if container.state in _ON_THE_WAY else Health.DOWN
        return Verdict(name, health, f"container is {container.state}: {container.status}")
    if container.health == "starting":
        return Verdict(name, Health.STARTING, f"container is starting: {container.status}")
    if not component.attached(container.networks):
        missing = ", ".join(sorted(set(component.networks) - set(container.networks)))
        return Verdict(name, Health.SICK, f"container is not attached to its network {missing}")
    if container.health == "unhealthy" and component.target is None:
        return Verdict(name, Health.SICK, f"Docker's health check fails: {container.status}")
    return Verdict(name, Health.OK)


def _enter(ingress: Ingress, refusals: list[str], *, through: bool) -> Verdict:
    entry = ingress.look(full=through)
    if entry.refusal:
        refusals.append(entry.refusal)
    return entry.verdict


def _target(component: Component) -> Target:
    if component.target is None:
        raise ValueError(f"{component.name} has no address")
    return component.target


def _excuse_full_disk(verdict: Verdict) -> Verdict:
    """Nobody can write to a full disk: what fails for that must not be restarted, as it may not start again."""
    if verdict.health in (Health.SICK, Health.REFUSING) and verdict.cause.startswith((CANARY, REFUSED_WRITES)):
        return Verdict(verdict.component, Health.DEGRADED, f"{verdict.cause}, while the disk is full")
    return verdict


def _refused(component: Component, what: str, answer: Answer) -> Verdict:
    # Any other wrong answer is as good as none; 503 and the proxy's 502 and 504 say "not now".
    refusing = answer.status == _REFUSAL or component.kind == "proxy"
    problem = _fields(answer) if component.kind == "api" else {}
    reason = f": {problem['detail']}" if "detail" in problem else ""
    return Verdict(
        component.name,
        Health.BLOCKED if problem.get("type") == _MOVED else Health.REFUSING if refusing else Health.SICK,
        f"{what} was answered with {answer.status}{reason}",
    )


def why_unusable(cause: str) -> str:
    """Say what keeps a container from starting that ended so, as far as the data is to blame; else nothing."""
    match = _EXIT_CODE.search(cause)
    return _BY_CODE[match[1] or match[2]] if match else ""


def _fields(answer: Answer) -> dict[str, str]:
    """Return the texts in an answer of the API; nothing where it is none of its kind."""
    try:
        found = json.loads(answer.body)
        return {str(name): value for name, value in found.items() if isinstance(value, str)}
    except (ValueError, AttributeError):
        return {}


def _all_at_once(probes: dict[str, Callable[[], Verdict]], bound: float) -> dict[str, Verdict]:
    """Run all probes at the same time and wait for them at most `bound` seconds."""
    verdicts: dict[str, Verdict] = {}

    def run(name: str, probe: Callable[[], Verdict]) -> None:
        verdicts[name] = probe()

    # Daemon threads: one that is stuck can neither hold up the end of the process nor the next look.
    threads = {name: threading.Thread(target=run, args=(name, probe), daemon=True) for name, probe in probes.items()}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + bound
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {
        name: Verdict(name, Health.SICK, f"the probe did not end within {bound:g} s")
        for name in probes
        if name not in verdicts
    }
    return {**verdicts, **late}
