"""The part of Docker's HTTP API that the monitor needs, over the engine's socket.

Paths carry no API version: the engine then uses its newest, and no client version can be too old for it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from cleaning_service_monitor.transport import NoAnswerError, UnixTarget, request

LIST_TIMEOUT = 5.0  # seconds; a healthy engine lists in milliseconds, a busy small host in under two
ACTION_TIMEOUT = 30.0  # seconds, on top of what the container itself is given to stop

_HEALTH = {"(healthy)": "healthy", "(unhealthy)": "unhealthy", "(health: starting)": "starting"}


class EngineError(Exception):
    """Docker did not answer or refused; the message says why, for a person."""


@dataclass(frozen=True)
class Container:
    """What Docker says of a container.

    Attributes:
        state: created, running, paused, restarting, removing, exited or dead.
        health: healthy, unhealthy or starting; empty where there is no health check.
        status: Docker's own sentence, for example `Exited (137) 3 seconds ago`.
    """

    state: str
    health: str
    status: str


class Engine:
    """A client of the engine behind one socket."""

    def __init__(self, socket_path: str) -> None:
        self._target = UnixTarget(socket_path)

    def containers(self, names: Iterable[str]) -> dict[str, Container]:
        """Say which of the named containers exist, running or not, and how they are.

        One listing, not one inspection each: it takes no container's lock, so a container that Docker itself
        is stuck on cannot hide the others.

        Raises:
            EngineError: no usable answer within `LIST_TIMEOUT`.
        """
        wanted = set(names)
        filters = quote(json.dumps({"name": [f"^/{name}$" for name in sorted(wanted)]}))
        body = self._call("GET", f"/containers/json?all=1&filters={filters}", LIST_TIMEOUT)
        found: dict[str, Container] = {}
        try:
            for entry in json.loads(body):
                status = str(entry["Status"])
                health = next((value for mark, value in _HEALTH.items() if status.endswith(mark)), "")
                container = Container(str(entry["State"]), health, status)
                found |= {name.lstrip("/"): container for name in entry["Names"] if name.lstrip("/") in wanted}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError("Docker's list of containers is not readable") from error
        return found

    def start(self, name: str) -> None:
        """Start a stopped container; one that runs already is left alone."""
        self._call("POST", f"/containers/{quote(name)}/start", ACTION_TIMEOUT)

    def restart(self, name: str, *, stop_seconds: int) -> None:
        """Stop a container (SIGTERM, then SIGKILL after `stop_seconds`) and start it again."""
        self._call("POST", f"/containers/{quote(name)}/restart?t={stop_seconds}", stop_seconds + ACTION_TIMEOUT)

    def unpause(self, name: str) -> None:
        """Let a paused container go on."""
        self._call("POST", f"/containers/{quote(name)}/unpause", ACTION_TIMEOUT)

    def _call(self, method: str, path: str, timeout: float) -> bytes:
        try:
            answer = request(self._target, method, path, timeout=timeout)
        except NoAnswerError as error:
            raise EngineError(f"Docker's socket: {error}") from error
        if answer.status >= 400:  # noqa: PLR2004 - 304, "already so", is a success here
            raise EngineError(f"Docker answered {answer.status}: {_message(answer.body)}")
        return answer.body


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip() or "no message"
