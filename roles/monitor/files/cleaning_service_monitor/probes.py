"""One look at everything: what Docker says of the containers, and what the services answer."""

import threading
import time
from collections.abc import Callable
from functools import partial

from cleaning_service_monitor.config import Component, Config
from cleaning_service_monitor.docker import Container, Engine, EngineError
from cleaning_service_monitor.ladder import DOCKER, Health, Verdict
from cleaning_service_monitor.transport import Answer, NoAnswerError, Target, request

_SUCCESS = 200
_SERVER_ERROR = 500
_REFUSAL = 503
_TOKEN_REFUSED = (401, 403, 404)  # the canary's answers when the configuration is wrong, not the API

_HEADERS = {"User-Agent": "cleaning-service-monitor", "Connection": "close"}

# Docker's container states in which the container is on its way; how long it may be is the ladder's to judge.
_ON_THE_WAY = ("created", "restarting", "removing")


class Prober:
    """Looks at the components. A look is bounded: Docker's listing, then all services at the same time."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        # The sockets' own deadlines end every probe before this; it bounds a thread that is stuck elsewhere.
        self._bound = config.probe_timeout + config.canary_timeout + 1.0

    def look(self, *, full: bool) -> list[Verdict]:
        """Judge every component, or Docker alone when it is silent.

        Args:
            full: register through each API replica too (the canary), not only ask whether it is ready.
        """
        try:
            containers = self._engine.containers(component.container for component in self._config.components)
        except EngineError as error:
            return [Verdict(DOCKER, Health.SICK, str(error))]
        verdicts: dict[str, Verdict] = {}
        probes: dict[str, Callable[[], Verdict]] = {}
        for component in self._config.components:
            container = containers.get(component.container)
            told = verdicts[component.name] = _judge_container(component, container)
            if component.target and container and container.state == "running":
                probes[component.name] = partial(self._ask, component, component.target, told, full=full)
        verdicts |= _all_at_once(probes, self._bound)
        ordered = [verdicts[component.name] for component in self._config.components]
        return [Verdict(DOCKER, Health.OK), *self._excuse_proxy(ordered)]

    def _ask(self, component: Component, target: Target, told: Verdict, *, full: bool) -> Verdict:
        """Ask the service itself; `told` is what Docker says, and stands while the service is starting."""
        if component.kind == "proxy":
            verdict = self._get(component, target, "/health/live")
        else:
            verdict = self._get(component, target, "/health/ready")
            if full and verdict.health.well:
                verdict = self._canary(component, target)
        return told if told.health is Health.STARTING and not verdict.health.well else verdict

    def _get(self, component: Component, target: Target, path: str) -> Verdict:
        what = f"GET {path}"
        try:
            answer = request(target, "GET", path, timeout=self._config.probe_timeout, headers=_HEADERS)
        except NoAnswerError as error:
            return Verdict(component.name, Health.SICK, f"{what}: {error}")
        # A proxy does its work below 500: with a domain set, it answers a request by address with a redirect.
        well = answer.status == _SUCCESS or (component.kind == "proxy" and answer.status < _SERVER_ERROR)
        return Verdict(component.name, Health.OK) if well else _refused(component, what, answer)

    def _canary(self, component: Component, target: Target) -> Verdict:
        what = "the registration canary"
        headers = {**_HEADERS, "Authorization": f"Bearer {self._config.canary_token}", "Content-Length": "0"}
        timeout = self._config.canary_timeout
        try:
            answer = request(target, "POST", "/internal/canary", timeout=timeout, headers=headers)
        except NoAnswerError as error:
            return Verdict(component.name, Health.SICK, f"{what}: {error}")
        if answer.status == _SUCCESS:
            return Verdict(component.name, Health.OK)
        if answer.status in _TOKEN_REFUSED:
            cause = f"{what} was refused with {answer.status}: is canary_token the API's CANARY_TOKEN?"
            return Verdict(component.name, Health.DEGRADED, cause)
        return _refused(component, what, answer)

    def _excuse_proxy(self, verdicts: list[Verdict]) -> list[Verdict]:
        """A proxy that answers 502 because no replica is well is not what must be cured."""
        kinds = {component.name: component.kind for component in self._config.components}
        if all(verdict.health.well for verdict in verdicts if kinds[verdict.component] == "api"):
            return verdicts
        return [
            Verdict(verdict.component, Health.DEGRADED, f"{verdict.cause}, while the API is not well")
            if kinds[verdict.component] == "proxy" and verdict.health is Health.REFUSING
            else verdict
            for verdict in verdicts
        ]


def _judge_container(component: Component, container: Container | None) -> Verdict:
    """Judge by what Docker says.

    Docker's health check alone condemns only a component that cannot be asked otherwise (Redis, which is not
    published): under full load a health check may miss its time-out while the service itself answers.
    """
    name = component.name
    if container is None:
        return Verdict(name, Health.MISSING, f"there is no container {component.container}")
    if container.state in _ON_THE_WAY:
        return Verdict(name, Health.STARTING, f"container is {container.state}: {container.status}")
    if container.state != "running":
        return Verdict(name, Health.DOWN, f"container is {container.state}: {container.status}")
    if container.health == "starting":
        return Verdict(name, Health.STARTING, f"container is starting: {container.status}")
    if container.health == "unhealthy" and component.target is None:
        return Verdict(name, Health.SICK, f"Docker's health check fails: {container.status}")
    return Verdict(name, Health.OK)


def _refused(component: Component, what: str, answer: Answer) -> Verdict:
    # Any other wrong answer is as good as none; 503 and the proxy's 502 and 504 say "not now".
    refusing = answer.status == _REFUSAL or component.kind == "proxy"
    return Verdict(
        component.name,
        Health.REFUSING if refusing else Health.SICK,
        f"{what} was answered with {answer.status}",
    )


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
