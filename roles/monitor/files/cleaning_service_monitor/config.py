"""The monitor's settings: one JSON file, checked completely on reading."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from cleaning_service_monitor.alerts import settings as alert_settings
from cleaning_service_monitor.alerts.settings import AlertSettings
from cleaning_service_monitor.alerts.spool import Spool
from cleaning_service_monitor.checks import Section, SettingError
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
_HOST_OTHERS = (
    "clock_check", "certificate_name", "certificate_port", "certificate_days", "backups", "backup_max_age_hours",
    "integrity_hour",
)  # fmt: skip
_PATHS = ("directory", "compose_file", "docker_socket", "log_file", "state_dir")
_NAMES = ("project", "canary_token")
_STARTS = "releases/starts.json"  # cleaning-service-release writes it
_START_MARGIN = 3.0  # times the slowest start that it has seen
_LONGEST_SOCKET_PATH = 107  # bytes; unix(7)
_COMPONENT_STRINGS = ("name", "kind", "service", "container")


class ConfigError(Exception):
    """The file cannot be used; the message is one sentence that names it and, where there is one, the key."""


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
        backups: whether there are backups to look at.
        backup_max_age: seconds after which the newest backup is too old.
        integrity_hour: hour of the day, UTC, at which the database is checked; None for never.
    """

    disk_degraded_percent: float
    disk_full_percent: float
    memory_degraded_percent: float
    clock: bool
    certificate_name: str
    certificate_port: int
    certificate_days: int
    backups: bool
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

    @property
    def spool(self) -> Spool:
        """The alerts that wait: in the state's directory, or in the service's directory in memory."""
        directories = (self.state_dir, os.environ.get("RUNTIME_DIRECTORY"))
        return Spool(*(Path(directory) / "spool" for directory in directories if directory))


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
        return _with_shown_start(parse(raw, path))
    except SettingError as error:
        raise ConfigError(f"{path}: {error}") from error


def _with_shown_start(config: Config) -> Config:
    """Let a start take what the last release has seen it take on this host, if that is more than `start_grace`."""
    try:
        shown = float(json.loads((config.directory / _STARTS).read_text(encoding="utf-8"))["slowest"])
    except (OSError, ValueError, TypeError, KeyError):
        return config
    longest = _POLICY_SECONDS["start_grace"][2]
    grace = max(config.policy.start_grace, min(_START_MARGIN * shown, longest))
    return replace(config, policy=replace(config.policy, start_grace=grace))


def parse(raw: object, path: str = "") -> Config:
    """Check a configuration.

    Args:
        raw: what the JSON file holds.
        path: that file.

    Raises:
        SettingError: a key is wrong.
    """
    known = {*_PATHS, *_NAMES, *_SECONDS, *_POLICY_SECONDS, *_POLICY_COUNTS, "components", "ingress", "host", "alerts"}
    values = Section.read(raw, "", known)
    paths = {key: values.path_name(key) for key in _PATHS}
    counts = {key: values.whole(key, *limits) for key, limits in _POLICY_COUNTS.items()}
    patience = {key: values.number(key, *limits) for key, limits in _POLICY_SECONDS.items()}
    timing = {key: values.number(key, *limits) for key, limits in _SECONDS.items()}
    return Config(
        directory=Path(paths["directory"]),
        compose_file=paths["compose_file"],
        project=values.text("project"),
        docker_socket=paths["docker_socket"],
        canary_token=_token(values),
        log_file=Path(paths["log_file"]),
        state_dir=Path(paths["state_dir"]),
        components=_components(values.values.get("components")),
        policy=Policy(
            attempts_before_full_restart=counts["attempts_before_full_restart"],
            restarts_per_hour=counts["restarts_per_hour"],
            full_restarts_per_hour=counts["full_restarts_per_hour"],
            docker_restarts_per_hour=counts["docker_restarts_per_hour"],
            clean_ups_per_hour=counts["clean_ups_per_hour"],
            reboots_per_day=counts["reboots_per_day"],
            **patience,
        ),
        ingress=_ingress(values.values["ingress"]) if "ingress" in values.values else None,
        host=_host(values.values.get("host", {})),
        alerts=alert_settings.parse(values.values.get("alerts")),
        path=path,
        **timing,
    )


def _token(values: Section) -> str:
    """Return the canary's token, which goes into a header as it is."""
    token = values.text("canary_token")
    if " " in token:
        values.refuse("canary_token", "must not hold a space.")
    return token


def _ingress(raw: object) -> IngressSettings:
    values = Section.read(raw, "ingress", {"ipv4", "ipv6", "domain"})
    return IngressSettings(
        ipv4=UnixTarget(values.path_name("ipv4")),
        ipv6=UnixTarget(values.path_name("ipv6")),
        domain=values.optional_host("domain"),
    )


def _host(raw: object) -> HostSettings:
    values = Section.read(raw, "host", {*_HOST_PERCENTS, *_HOST_OTHERS})
    percents = {key: values.number(key, *limits, "per cent") for key, limits in _HOST_PERCENTS.items()}
    return HostSettings(
        **percents,
        clock=values.boolean("clock_check", default=True),
        certificate_name=values.optional_host("certificate_name"),
        certificate_port=values.port("certificate_port", 443),
        certificate_days=values.whole("certificate_days", 14, 1, 60),
        backups=values.boolean("backups", default=False),
        backup_max_age=values.whole("backup_max_age_hours", 2, 1, 24 * 31) * HOUR,
        integrity_hour=_hour(values),
    )


def _hour(values: Section) -> int | None:
    """Return the hour of the day; none where it is empty. It may come as text, as nothing else can be empty."""
    hour = values.values.get("integrity_hour", 3)
    if hour in (None, ""):
        return None
    if isinstance(hour, str) and hour.isascii() and hour.isdigit():
        hour = int(hour)
    return Section({"integrity_hour": hour}, values.path).whole("integrity_hour", 3, 0, 23)


def _components(raw: object) -> tuple[Component, ...]:
    if not isinstance(raw, list) or not raw:
        raise SettingError("components", "must be a list with at least one entry.")
    components = tuple(_component(entry, f"components[{index}]") for index, entry in enumerate(raw))
    for key in ("name", "service", "container"):
        seen = [getattr(component, key) for component in components]
        if len(set(seen)) != len(seen):
            raise SettingError("components", f"must have every {key} only once.")
    return components


def _component(raw: object, where: str) -> Component:
    values = Section.read(raw, where, {*_COMPONENT_STRINGS, "url", "networks"})
    name, kind, service, container = (values.text(key) for key in _COMPONENT_STRINGS)
    if kind not in KINDS:
        values.refuse("kind", f"must be one of {', '.join(KINDS)}, not {kind!r}.")
    if name in (DOCKER, INGRESS):
        values.refuse("name", f"must not be {name!r}, which is the monitor's own name for something else.")
    if kind == "redis":
        if "url" in values.values:
            values.refuse("url", "must be left out: Redis is not published.")
        target: Target | None = None
    else:
        target = _target(values.text("url"), values.name("url"))
    networks = values.values.get("networks", [])
    if not isinstance(networks, list) or not all(isinstance(network, str) for network in networks):
        values.refuse("networks", "must be a list of names.")
    return Component(name, kind, service, container, target, tuple(networks))


def _target(url: str, where: str) -> Target:
    complaint = f"must look like unix:/absolute/path or http://127.0.0.1:80 (IP address and port), not {url!r}."
    path = url.removeprefix("unix:")
    if path != url:
        if not path.startswith("/") or len(path) > _LONGEST_SOCKET_PATH:
            raise SettingError(where, complaint)
        return UnixTarget(path)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SettingError(where, complaint) from error
    if parts.scheme != "http" or not port or parts.path not in ("", "/") or parts.query:
        raise SettingError(where, complaint)
    # A name would have to be resolved, and a resolver's time-out is not ours to bound.
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return TcpTarget(family, host, port)
    raise SettingError(where, complaint)
