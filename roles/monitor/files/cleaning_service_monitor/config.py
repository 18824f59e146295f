"""The monitor's settings: one JSON file, checked completely on reading."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cleaning_service_monitor.ladder import DOCKER, Policy
from cleaning_service_monitor.transport import Target, TcpTarget

PATH_VARIABLE = "CLEANING_SERVICE_MONITOR_CONFIG"
DEFAULT_PATH = "/opt/fastapi-backend/monitor.json"
KINDS = ("redis", "api", "proxy")

# Key: (default, lowest, highest), in seconds. The time-outs' upper bounds keep the longest full check well
# below the unit's WatchdogSec.
_SECONDS: dict[str, tuple[float, float, float]] = {
    "probe_interval": (5, 0.1, 60),
    "check_interval": (60, 0.5, 3600),
    "probe_timeout": (3, 0.1, 10),
    "canary_timeout": (15, 0.1, 60),
}
_POLICY_SECONDS: dict[str, tuple[float, float, float]] = {
    "start_grace": (45, 0.5, 600),
    "stable_time": (120, 1, 3600),
    "backoff": (5, 0, 300),
    "slow_retry": (600, 60, 86400),
}
_POLICY_COUNTS: dict[str, tuple[int, int, int]] = {
    "attempts_before_full_restart": (3, 1, 10),
    "restarts_per_hour": (12, 1, 120),
    "full_restarts_per_hour": (2, 0, 60),
    "docker_restarts_per_hour": (3, 0, 60),
}
_STRINGS = ("compose_file", "project", "docker_socket", "canary_token", "log_file", "state_dir")
_COMPONENT_STRINGS = ("name", "kind", "service", "container")


class ConfigError(Exception):
    """The configuration cannot be used; the message is one sentence that names the key."""


@dataclass(frozen=True)
class Component:
    """One service of the compose project, as the monitor knows it.

    `target` is where its HTTP answers are asked for; Redis has none.
    """

    name: str
    kind: str
    service: str
    container: str
    target: Target | None


@dataclass(frozen=True)
class Config:
    """All settings; times are in seconds."""

    compose_file: str
    project: str
    docker_socket: str
    canary_token: str
    log_file: Path
    state_dir: Path
    components: tuple[Component, ...]
    probe_interval: float
    check_interval: float
    probe_timeout: float
    canary_timeout: float
    policy: Policy


def load(path: str | None = None) -> Config:
    """Read and check the configuration.

    Args:
        path: the file; by default the one named by the environment, else the one the role writes.

    Raises:
        ConfigError: the file cannot be read, or a key is wrong.
    """
    path = path or os.environ.get(PATH_VARIABLE) or DEFAULT_PATH
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        hint = "; run this as root" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{path} cannot be read: {error.strerror}{hint}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.") from error
    try:
        return _parse(raw)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parse(raw: object) -> Config:
    known = {*_STRINGS, *_SECONDS, *_POLICY_SECONDS, *_POLICY_COUNTS, "components"}
    values = _object(raw, "the configuration", known)
    strings = {key: _string(values, key) for key in _STRINGS}
    for key in ("compose_file", "docker_socket", "log_file", "state_dir"):
        if not strings[key].startswith("/"):
            raise ConfigError(f"{key} must be an absolute path, not {strings[key]!r}.")
    counts = {key: _count(values, key, *limits) for key, limits in _POLICY_COUNTS.items()}
    patience = {key: _seconds(values, key, *limits) for key, limits in _POLICY_SECONDS.items()}
    timing = {key: _seconds(values, key, *limits) for key, limits in _SECONDS.items()}
    return Config(
        compose_file=strings["compose_file"],
        project=strings["project"],
        docker_socket=strings["docker_socket"],
        canary_token=strings["canary_token"],
        log_file=Path(strings["log_file"]),
        state_dir=Path(strings["state_dir"]),
        components=_components(values.get("components")),
        policy=Policy(
            attempts_before_full_restart=counts["attempts_before_full_restart"],
            restarts_per_hour=counts["restarts_per_hour"],
            full_restarts_per_hour=counts["full_restarts_per_hour"],
            docker_restarts_per_hour=counts["docker_restarts_per_hour"],
            **patience,
        ),
        **timing,
    )


def _components(raw: object) -> tuple[Component, ...]:
    if not isinstance(raw, list) or not raw:
        raise ConfigError("components must be a list with at least one entry.")
    components = tuple(_component(entry, f"components[{index}]") for index, entry in enumerate(raw))
    for key in ("name", "service", "container"):
        seen = [getattr(component, key) for component in components]
        if len(set(seen)) != len(seen):
            raise ConfigError(f"components: every {key} must be there only once.")
    return components


def _component(raw: object, where: str) -> Component:
    values = _object(raw, where, {*_COMPONENT_STRINGS, "url"})
    name, kind, service, container = (_string(values, key, where) for key in _COMPONENT_STRINGS)
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    if name == DOCKER:
        raise ConfigError(f"{where}.name must not be {DOCKER!r}, which is the engine's own name in the log.")
    if kind == "redis":
        if "url" in values:
            raise ConfigError(f"{where}.url must be left out: Redis is not published.")
        return Component(name, kind, service, container, None)
    return Component(name, kind, service, container, _target(_string(values, "url", where), f"{where}.url"))


def _target(url: str, where: str) -> TcpTarget:
    sentence = f"{where} must look like http://127.0.0.1:8001 (an IP address and a port), not {url!r}."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(sentence) from error
    if parts.scheme != "http" or not port or parts.path not in ("", "/") or parts.query:
        raise ConfigError(sentence)
    # A name would have to be resolved, and a resolver's time-out is not ours to bound.
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return TcpTarget(family, host, port)
    raise ConfigError(sentence)


def _object(raw: object, what: str, known: set[str]) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise ConfigError(f"{what} must be a JSON object.")
    for key in raw:
        if key not in known:
            raise ConfigError(f"{what} has an unknown key {key!r}.")
    return raw


def _string(values: dict[str, object], key: str, where: str = "") -> str:
    value = values.get(key)
    name = f"{where}.{key}" if where else key
    # Printable ASCII: the values end up in HTTP headers, command lines and log lines.
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise ConfigError(f"{name} must be a non-empty string of printable ASCII characters.")
    return value


def _seconds(values: dict[str, object], key: str, default: float, lowest: float, highest: float) -> float:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ConfigError(f"{key} must be a number of seconds from {lowest:g} to {highest:g}, not {value!r}.")
    return float(value)


def _count(values: dict[str, object], key: str, default: int, lowest: int, highest: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ConfigError(f"{key} must be a whole number from {lowest} to {highest}, not {value!r}.")
    return value
