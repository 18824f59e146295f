"""The monitor's settings: one JSON file, checked completely on reading."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cleaning_service_monitor import alert_settings
from cleaning_service_monitor.alert_settings import AlertSettings, AlertSettingsError
from cleaning_service_monitor.ladder import DOCKER, HOUR, INGRESS, Policy
from cleaning_service_monitor.transport import Target, TcpTarget, UnixTarget

PATH_VARIABLE = "CLEANING_SERVICE_MONITOR_CONFIG"
DEFAULT_PATH = str(Path(__file__).resolve().parents[2] / "monitor.json")
"""The program lies in its directory scripts/."""
KINDS = ("redis", "api", "proxy")

# Key: (default, lowest, highest), in seconds. The time-outs' upper bounds keep the longest full check well
# below the unit's WatchdogSec.
_SECONDS: dict[str, tuple[float, float, float]] = {
    "probe_interval": (2, 0.1, 60),
    "check_interval": (60, 0.5, 3600),
    "probe_timeout": (3, 0.1, 10),
    "canary_interval": (30, 0.5, 3600),
    "canary_timeout": (12, 0.1, 15),
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
    "clean_ups_per_hour": (4, 0, 60),
    "reboots_per_day": (0, 0, 10),
}
_HOST_PERCENTS: dict[str, tuple[float, float, float]] = {
    "disk_degraded_percent": (10, 0, 90),
    "disk_full_percent": (3, 0, 90),
    "memory_degraded_percent": (5, 0, 90),
}
_STRINGS = ("directory", "compose_file", "project", "docker_socket", "canary_token", "log_file", "state_dir")
_LONGEST_SOCKET_PATH = 107  # bytes; unix(7)
_COMPONENT_STRINGS = ("name", "kind", "service", "container")


class ConfigError(Exception):
    """The configuration cannot be used; the message is one sentence that names the key."""


@dataclass(frozen=True)
class Component:
    """One service of the compose project, as the monitor knows it.

    `target` is where its HTTP answers are asked for; Redis has none. `networks` are those its container must be
    attached to.
    """

    name: str
    kind: str
    service: str
    container: str
    target: Target | None
    networks: tuple[str, ...] = ()

    def attached(self, networks: Mapping[str, str]) -> bool:
        """Whether a container that is on these networks is on all it must be on."""
        return set(self.networks) <= set(networks)


@dataclass(frozen=True)
class HostSettings:
    """What of the host itself is looked at.

    Attributes:
        disk_degraded_percent: free space, or inodes, below which a person is told.
        disk_full_percent: free space, or inodes, below which the disk counts as full.
        memory_degraded_percent: available memory below which a person is told.
        clock: whether the clock must be synchronised.
        certificate_name: domain whose certificate is looked at; empty for none.
        certificate_port: port on 127.0.0.1 that shows it.
        certificate_days: days before its end at which a person is told.
        backup_stamp: file whose modification is the last good backup; None for none.
        backup_max_age: seconds.
        integrity_hour: hour of the day, UTC, at which the database is checked; None for never.
    """

    disk_degraded_percent: float
    disk_full_percent: float
    memory_degraded_percent: float
    clock: bool
    certificate_name: str
    certificate_port: int
    certificate_days: int
    backup_stamp: Path | None
    backup_max_age: float
    integrity_hour: int | None


@dataclass(frozen=True)
class IngressSettings:
    """How the proxy's published port is asked for as a client does.

    Attributes:
        ipv4: socket file that leads to the port by IPv4.
        ipv6: the same by IPv6.
        domain: name to ask for by HTTPS; empty where the port is for plain HTTP.
    """

    ipv4: UnixTarget
    ipv6: UnixTarget
    domain: str


@dataclass(frozen=True)
class Config:
    """All settings; times are in seconds."""

    directory: Path
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
    canary_interval: float
    canary_timeout: float
    policy: Policy
    ingress: IngressSettings | None
    host: HostSettings
    alerts: AlertSettings
    path: str

    @property
    def compose(self) -> tuple[str, ...]:
        """The beginning of every Compose command."""
        return ("docker", "compose", "-f", self.compose_file, "-p", self.project)


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
        return _parse(raw, path)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parse(raw: object, path: str) -> Config:
    known = {*_STRINGS, *_SECONDS, *_POLICY_SECONDS, *_POLICY_COUNTS, "components", "ingress", "host", "alerts"}
    values = _object(raw, "the configuration", known)
    strings = {key: _string(values, key) for key in _STRINGS}
    for key in ("directory", "compose_file", "docker_socket", "log_file", "state_dir"):
        if not strings[key].startswith("/"):
            raise ConfigError(f"{key} must be an absolute path, not {strings[key]!r}.")
    counts = {key: _count(values, key, *limits) for key, limits in _POLICY_COUNTS.items()}
    patience = {key: _seconds(values, key, *limits) for key, limits in _POLICY_SECONDS.items()}
    timing = {key: _seconds(values, key, *limits) for key, limits in _SECONDS.items()}
    return Config(
        directory=Path(strings["directory"]),
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
            clean_ups_per_hour=counts["clean_ups_per_hour"],
            reboots_per_day=counts["reboots_per_day"],
            **patience,
        ),
        ingress=_ingress(values["ingress"]) if "ingress" in values else None,
        host=_host(values.get("host", {})),
        alerts=_alerts(values.get("alerts")),
        path=path,
        **timing,
    )


def _alerts(raw: object) -> AlertSettings:
    try:
        return alert_settings.parse(raw)
    except AlertSettingsError as error:
        raise ConfigError(str(error)) from error


def _ingress(raw: object) -> IngressSettings:
    values = _object(raw, "ingress", {"ipv4", "ipv6", "domain"})
    paths = {key: _string(values, key, "ingress") for key in ("ipv4", "ipv6")}
    for key, path in paths.items():
        if not path.startswith("/"):
            raise ConfigError(f"ingress.{key} must be an absolute path, not {path!r}.")
    return IngressSettings(
        ipv4=UnixTarget(paths["ipv4"]),
        ipv6=UnixTarget(paths["ipv6"]),
        domain=_string(values, "domain", "ingress") if values.get("domain") else "",
    )


def _host(raw: object) -> HostSettings:
    own = {"clock", "certificate_name", "certificate_port", "certificate_days", "backup_stamp", "integrity_hour"}
    values = _object(raw, "host", {*_HOST_PERCENTS, *own, "backup_max_age_hours"})
    clock, hour = values.get("clock", True), values.get("integrity_hour", 3)
    if not isinstance(clock, bool):
        raise ConfigError(f"host.clock must be true or false, not {clock!r}.")
    if hour is not None:
        hour = _count(values, "integrity_hour", 3, 0, 23)
    stamp = _string(values, "backup_stamp", "host") if values.get("backup_stamp") else None
    if stamp and not stamp.startswith("/"):
        raise ConfigError(f"host.backup_stamp must be an absolute path, not {stamp!r}.")
    percents = {key: _seconds(values, key, *limits) for key, limits in _HOST_PERCENTS.items()}
    return HostSettings(
        **percents,
        clock=clock,
        certificate_name=_string(values, "certificate_name", "host") if values.get("certificate_name") else "",
        certificate_port=_count(values, "certificate_port", 443, 1, 65535),
        certificate_days=_count(values, "certificate_days", 14, 1, 60),
        backup_stamp=Path(stamp) if stamp else None,
        backup_max_age=_count(values, "backup_max_age_hours", 26, 1, 24 * 31) * HOUR,
        integrity_hour=hour,
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
    values = _object(raw, where, {*_COMPONENT_STRINGS, "url", "networks"})
    name, kind, service, container = (_string(values, key, where) for key in _COMPONENT_STRINGS)
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    if name in (DOCKER, INGRESS):
        raise ConfigError(f"{where}.name must not be {name!r}, which is the monitor's own name for something else.")
    if kind == "redis":
        if "url" in values:
            raise ConfigError(f"{where}.url must be left out: Redis is not published.")
        target: Target | None = None
    else:
        target = _target(_string(values, "url", where), f"{where}.url")
    networks = values.get("networks", [])
    if not isinstance(networks, list) or not all(isinstance(network, str) for network in networks):
        raise ConfigError(f"{where}.networks must be a list of names.")
    return Component(name, kind, service, container, target, tuple(networks))


def _target(url: str, where: str) -> Target:
    sentence = f"{where} must look like unix:/absolute/path or http://127.0.0.1:80 (IP address and port), not {url!r}."
    path = url.removeprefix("unix:")
    if path != url:
        if not path.startswith("/") or len(path) > _LONGEST_SOCKET_PATH:
            raise ConfigError(sentence)
        return UnixTarget(path)
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
        unit = "per cent" if key.endswith("percent") else "seconds"
        raise ConfigError(f"{key} must be a number of {unit} from {lowest:g} to {highest:g}, not {value!r}.")
    return float(value)


def _count(values: dict[str, object], key: str, default: int, lowest: int, highest: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ConfigError(f"{key} must be a whole number from {lowest} to {highest}, not {value!r}.")
    return value
