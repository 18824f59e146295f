"""The part of Docker's HTTP API that the monitor needs, over the engine's socket.

Paths carry no API version: the engine then uses its newest, and no client version can be too old for it.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cleaning_service_monitor.transport import NoAnswerError, UnixTarget, request

LOOK_TIMEOUT = 3.0  # seconds for what is good to know of one container, not needed
LIST_TIMEOUT = 5.0  # seconds; a healthy engine lists in milliseconds, a busy small host in under two
ACTION_TIMEOUT = 30.0  # seconds, on top of what the container itself is given to stop

_BUILT = "cleaning-service.base"  # the label that the playbook gives what it builds
_COMPOSE_FILES = "com.docker.compose.project.config_files"
_FRAME_HEAD = struct.Struct(">4xI")
_HEALTH = {"(healthy)": "healthy", "(unhealthy)": "unhealthy", "(health: starting)": "starting"}


class EngineError(Exception):
    """Docker did not answer or refused; the message says why, for a person."""


class EngineAwayError(EngineError):
    """Nobody listens on Docker's socket."""


@dataclass(frozen=True)
class Container:
    """What Docker says of a container.

    Attributes:
        state: created, running, paused, restarting, removing, exited or dead.
        health: healthy, unhealthy or starting; empty where there is no health check.
        status: Docker's own sentence, for example `Exited (137) 3 seconds ago`.
        networks: the address on each network it is attached to; empty while it does not run.
    """

    state: str
    health: str
    status: str
    networks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """An image by one of its names."""

    id: str
    reference: str

    @property
    def name(self) -> str:
        """The name without the tag."""
        return self.reference.rpartition(":")[0]


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
                attached = (entry.get("NetworkSettings") or {}).get("Networks") or {}
                networks = {str(key): str(value.get("IPAddress") or "") for key, value in attached.items()}
                container = Container(str(entry["State"]), health, status, networks)
                found |= {name.lstrip("/"): container for name in entry["Names"] if name.lstrip("/") in wanted}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError("Docker's list of containers is not readable") from error
        return found

    def end_of(self, name: str) -> str:
        """Say how a container ended, as far as Docker knows more than its status tells; else an empty string."""
        try:
            state = json.loads(self._call("GET", f"/containers/{quote(name)}/json", LOOK_TIMEOUT))["State"]
            reason = "out of memory" if state["OOMKilled"] else str(state["Error"])
        except (EngineError, ValueError, KeyError, TypeError):
            return ""
        return reason

    def health_output(self, name: str) -> str:
        """Return what the last health check of a container said; nothing where Docker cannot tell in time."""
        try:
            state = json.loads(self._call("GET", f"/containers/{quote(name)}/json", LOOK_TIMEOUT))["State"]
            return str(state["Health"]["Log"][-1]["Output"])
        except (EngineError, ValueError, KeyError, TypeError, IndexError):
            return ""

    def log_lines(self, name: str, lines: int) -> list[str]:
        """Return the last lines a container wrote; none where Docker cannot tell in time."""
        path = f"/containers/{quote(name)}/logs?stdout=1&stderr=1&tail={lines}"
        try:
            body = self._call("GET", path, LOOK_TIMEOUT)
        except EngineError:
            return []
        return _frames(body).decode("utf-8", "replace").splitlines()[-lines:]

    def stop(self, name: str, *, stop_seconds: int) -> None:
        """Stop a container; one that does not run is left alone."""
        self._call("POST", f"/containers/{quote(name)}/stop?t={stop_seconds}", stop_seconds + ACTION_TIMEOUT)

    def hangs(self) -> bool:
        """Whether the engine accepts connections and answers none."""
        try:
            self._call("GET", "/_ping", LOOK_TIMEOUT)
        except EngineAwayError:
            return False
        except EngineError as error:
            return isinstance(error.__cause__, NoAnswerError)
        return False

    def start(self, name: str) -> None:
        """Start a stopped container; one that runs already is left alone."""
        self._call("POST", f"/containers/{quote(name)}/start", ACTION_TIMEOUT)

    def restart(self, name: str, *, stop_seconds: int) -> None:
        """Stop a container (SIGTERM, then SIGKILL after `stop_seconds`) and start it again."""
        self._call("POST", f"/containers/{quote(name)}/restart?t={stop_seconds}", stop_seconds + ACTION_TIMEOUT)

    def unpause(self, name: str) -> None:
        """Let a paused container go on."""
        self._call("POST", f"/containers/{quote(name)}/unpause", ACTION_TIMEOUT)

    def strangers(self, project: str, compose_file: str) -> list[str]:
        """Return the containers of other Compose projects that have this one's name, each with its compose file."""
        filters = quote(json.dumps({"label": [f"com.docker.compose.project={project}"]}))
        found = [
            (entry["Names"][0].lstrip("/"), str(entry["Labels"].get(_COMPOSE_FILES) or ""))
            for entry in self._json(f"/containers/json?all=1&filters={filters}")
        ]
        ours = Path(compose_file).resolve()  # its directory may have been reached through a link
        return [
            f"{name} from {files or 'an unknown file'}"
            for name, files in found
            if ours not in {Path(file).resolve() for file in files.split(",")}
        ]

    def images(self, prefix: str) -> list[Image]:
        """Return those images that this project's playbook has built and whose name begins so, newest first."""
        found = sorted(self._json("/images/json"), key=lambda entry: -int(entry["Created"]))
        return [
            Image(str(entry["Id"]), str(reference))
            for entry in found
            for reference in entry["RepoTags"] or []
            if str(reference).startswith(prefix) and _BUILT in (entry["Labels"] or {})
        ]

    def images_in_use(self) -> set[str]:
        """Return the ids of the images of all containers, running or not."""
        return {str(entry["ImageID"]) for entry in self._json("/containers/json?all=1")}

    def remove_image(self, reference: str) -> None:
        """Remove an image; one in use is refused."""
        self._call("DELETE", f"/images/{quote(reference, safe=':')}", ACTION_TIMEOUT)

    def prune_build_cache(self) -> None:
        """Remove what only makes the next build faster."""
        self._call("POST", "/build/prune", ACTION_TIMEOUT)

    def _json(self, path: str) -> list[dict[str, Any]]:
        try:
            answer = json.loads(self._call("GET", path, ACTION_TIMEOUT))
            return [dict(entry) for entry in answer]
        except (ValueError, TypeError) as error:
            raise EngineError(f"Docker's answer to {path} is not readable") from error

    def _call(self, method: str, path: str, timeout: float) -> bytes:
        try:
            answer = request(self._target, method, path, timeout=timeout)
        except NoAnswerError as error:
            away = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
            raise (EngineAwayError if away else EngineError)(f"Docker's socket: {error}") from error
        if answer.status >= 400:  # noqa: PLR2004 - 304, "already so", is a success here
            raise EngineError(f"Docker answered {answer.status}: {_message(answer.body)}")
        return answer.body


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip() or "no message"


def _frames(stream: bytes) -> bytes:
    """Take Docker's frames off: each has a head of stream (1 byte), nothing (3), and length (4, big-endian)."""
    text = bytearray()
    while len(stream) >= _FRAME_HEAD.size:
        length = _FRAME_HEAD.unpack_from(stream)[0]
        text += stream[_FRAME_HEAD.size : _FRAME_HEAD.size + length]
        stream = stream[_FRAME_HEAD.size + length :]
    return bytes(text)
