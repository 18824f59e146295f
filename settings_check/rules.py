"""Rules for settings that no program of this project reads, such as those of Compose, Caddy, Redis, Docker and APT.

The rules for settings of the API and the monitor are in their own code (app/settings.py,
cleaning_service_monitor/config.py), which programs.py runs.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

PORT = 65535
_TB = 1024 * 1024  # in MB


@dataclass(frozen=True)
class Rule:
    """A rule for a variable's value, in addition to its type.

    Attributes:
        wanted: completes the sentence "NAME must be …".
        accepts: whether a value of the variable's type follows the rule.
    """

    wanted: str
    accepts: Callable[[Any], bool]


def _between(lowest: int, highest: int, unit: str = "") -> Rule:
    what = f"whole {unit}" if unit else "a whole number"
    return Rule(f"{what} from {lowest} to {highest}", lambda value: lowest <= value <= highest)


def _like(pattern: str, wanted: str, longest: int = 500) -> Rule:
    return Rule(wanted, lambda value: len(str(value)) <= longest and bool(re.fullmatch(pattern, str(value))))


def _optional(rule: Rule) -> Rule:
    return Rule(f"{rule.wanted}, or empty", lambda value: value == "" or rule.accepts(value))


def _each(rule: Rule) -> Rule:
    return Rule(f"a list, each entry of it {rule.wanted}", lambda value: all(map(rule.accepts, value)))


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # such as a name that is too long
        return False


def _is_private_network(text: str) -> bool:
    try:
        network = ipaddress.IPv6Network(text)
    except ValueError:
        return False
    return network.prefixlen == 64 and network.subnet_of(ipaddress.IPv6Network("fc00::/7"))  # noqa: PLR2004


# The directory contains Unix sockets, whose paths have a maximum length.
_DIRECTORY = _like(r"(/[A-Za-z0-9_.-]+)+", "an absolute path of at most 60 letters, digits, `_`, `.`, `-` and `/`", 60)
_FILE = Rule("a file on this machine", _is_file)
_MEMORY = "MB"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"({_LABEL}\.)+(?=[A-Za-z]){_LABEL}"
# Without characters that are special to Caddy or Compose.
_WEB = r"https?://[^\s\"'`${}\\]+"
_SERVER = r"https?://[A-Za-z0-9.-]+(:[0-9]+)?"
_SECRET = _optional(_like("[A-Za-z0-9_-]{32,128}", "32 to 128 letters, digits, `-` or `_`"))

RULES: Mapping[str, Rule] = {
    "baseline_min_memory_mb": _between(0, 16 * _TB, _MEMORY),
    "baseline_min_free_disk_mb": _between(0, 1024 * _TB, _MEMORY),
    "baseline_timezone": Rule("a name such as Etc/UTC or Europe/Berlin", _is_time_zone),
    "baseline_packages": _each(_like(r"[a-z0-9][a-z0-9+.:=~-]+", "the name of a Debian package")),
    "baseline_journal_max_size": _like("[1-9][0-9]{0,5}[KMG]", "a number with K, M or G, e.g. 200M"),
    "baseline_swap_below_memory_mb": _between(0, 16 * _TB, _MEMORY),
    "baseline_swap_size_mb": _between(0, _TB, _MEMORY),
    "docker_upstream_repository": _optional(_like(r"https://[^\s]+", "an address that begins with https://")),
    "docker_upstream_key_fingerprint": _like("[0-9A-F]{40}", "40 hexadecimal digits, with capital letters"),
    "stack_log_max_size": _like("[1-9][0-9]{0,5}[kmg]", "a number with k, m or g, e.g. 10m"),
    "stack_log_max_files": _between(1, 1000),
    "stack_directory": _DIRECTORY,
    "stack_api_replicas": _between(1, 8),
    "stack_start_timeout": _between(30, 900, "seconds"),
    "stack_base_image": _like("[A-Za-z0-9][A-Za-z0-9._/:@-]*", "the name of an image, e.g. python:3.13-slim-trixie"),
    "stack_image_archive": _optional(_FILE),
    "stack_extra_ca_bundle": _optional(_FILE),
    "stack_package_index_url": _optional(_like(_WEB, "an address that begins with https://")),
    "stack_http_port": _between(1, PORT),
    "stack_https_port": _between(1, PORT),
    "stack_ipv6_subnet": _optional(Rule("a private /64 such as fd1c:ea2a:9e5b::/64", _is_private_network)),
    "stack_proxy_domain": _optional(_like(_DOMAIN, "a name such as api.example.com", 253)),
    "stack_proxy_email": _optional(_like(r"[^@\s\"'`${}]+@[A-Za-z0-9.-]+", "an e-mail address", 254)),
    "stack_proxy_acme_directory": _optional(_like(_WEB, "an address that begins with https://")),
    "stack_proxy_certificate": _optional(_FILE),
    "stack_proxy_certificate_key": _optional(_FILE),
    "stack_proxy_internal_lifetime_minutes": _between(2, 9999, "minutes"),
    # Written unquoted into the files of Caddy, Redis and Compose.
    "stack_secret_key": _SECRET,
    "stack_canary_token": _SECRET,
    "stack_proxy_token": _SECRET,
    "stack_redis_password": _SECRET,
    "stack_api_memory_mb": _between(128, _TB, _MEMORY),
    "stack_redis_memory_mb": _between(32, _TB, _MEMORY),
    "stack_proxy_memory_mb": _between(64, _TB, _MEMORY),
    "stack_uid": _between(1000, 999_999_999),
    "backup_directory": _DIRECTORY,
    "backup_host": _like("[A-Za-z0-9][A-Za-z0-9._-]*", "a name of letters, digits, `.`, `_` and `-`", 100),
    "backup_interval_minutes": _between(5, 1440, "minutes"),
    "backup_local_repository": _optional(
        _like(r"(/[A-Za-z0-9_.-]+){2,}", "an absolute path, two levels deep at least", 200)
    ),
    "backup_repository": _optional(
        _like(
            rf"sftp://[A-Za-z0-9._-]+@[A-Za-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9_./-]+|s3:{_WEB}|rest:{_WEB}",
            "sftp://USER@HOST:PORT//DIRECTORY, s3:https://HOST/BUCKET/PATH or rest:https://HOST/PATH",
        )
    ),
    "backup_repository_ca": _optional(_FILE),
    "backup_sftp_key": _optional(_FILE),
    "backup_sftp_host_key": _optional(
        _like(r"\S+ (ssh|ecdsa)-\S+ [A-Za-z0-9+/=]+( .*)?", "a line of known_hosts", 2000)
    ),
    "backup_key": _optional(_like(r"[!-~]{20,200}", "20 to 200 printable characters without spaces")),
    "backup_key_file": _optional(_like("/.*", "an absolute path", 500)),
    "backup_repository_user": _like(".*", "at most 500 characters"),
    "backup_repository_secret": _like(".*", "at most 500 characters"),
    "backup_keep_hourly": _between(0, 100_000),
    "backup_keep_daily": _between(0, 10_000),
    "backup_keep_weekly": _between(0, 10_000),
    "backup_keep_monthly": _between(0, 10_000),
    "backup_drill_time": _like(r"[A-Za-z0-9*.,:/ -]+", "a time of systemd.timer such as Sun 03:30", 60),
    "backup_check_mb": _between(1, _TB, _MEMORY),
    "backup_set_aside_keep": _between(1, 1000),
    "backup_set_aside_mb": _between(0, _TB, _MEMORY),
    "backup_reserve_mb": _between(0, _TB, _MEMORY),
    "backup_replica": _optional(
        _like(
            rf"sftp://[A-Za-z0-9._-]+@[A-Za-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9_./-]+|s3:{_SERVER}(/[A-Za-z0-9_.=-]+){{2,}}"
            r"|(/[A-Za-z0-9_.-]+){2,}",
            "s3:https://HOST/BUCKET/PATH, sftp://USER@HOST:PORT//DIRECTORY or an absolute path of two levels or more",
        )
    ),
    "backup_replica_user": _like("[!-~]*", "printable characters without spaces", 200),
    "backup_replica_secret": _like("[!-~]*", "printable characters without spaces", 200),
    "backup_replica_region": _like("[a-z0-9-]{1,40}", "a name such as eu-central-1"),
    "backup_replica_sftp_key": _optional(_FILE),
    "backup_replica_sftp_host_key": _optional(
        _like(r"(\S+ )?(ssh|ecdsa)-\S+ [A-Za-z0-9+/=]+( .*)?", "a line of known_hosts", 2000)
    ),
    "backup_replica_ca": _optional(_FILE),
    "backup_replica_fine_hours": _between(1, 48, "hours"),
    "backup_replica_days": _between(1, 90, "days"),
    "backup_replica_memory_mb": _between(96, _TB, _MEMORY),
    "monitor_directory": _DIRECTORY,
    "monitor_api_replicas": _between(1, 8),
}


def stack_conflicts(values: Mapping[str, Any]) -> Iterator[str]:
    """Return a sentence for each conflict between the stack's variables."""
    if values["stack_image_source"] == "archive" and not values["stack_image_archive"]:
        yield "stack_image_archive must be a file on this machine: stack_image_source is archive."
    if values["stack_https_port"] in (8080, 8099):
        yield f"stack_https_port must not be {values['stack_https_port']}, which the proxy uses in its container."
    if values["stack_https_port"] == values["stack_http_port"] and values["stack_proxy_domain"]:
        yield "stack_https_port must be another port than stack_http_port: with a domain, the proxy listens on both."
    if bool(values["stack_proxy_certificate"]) != bool(values["stack_proxy_certificate_key"]):
        yield "stack_proxy_certificate and stack_proxy_certificate_key must be set both, or neither."
    sources = ("stack_proxy_acme_directory", "stack_proxy_certificate", "stack_proxy_internal_authority")
    chosen = [name for name in sources if values[name]]
    if len(chosen) > 1:
        yield f"{' and '.join(chosen)} exclude each other: set one of {', '.join(sources)}."
    if chosen and not values["stack_proxy_domain"]:
        yield f"stack_proxy_domain must be set with {chosen[0]}: a certificate needs a name."
    if values["stack_request_timeout"] <= max(values["stack_database_timeout"], values["stack_redis_timeout"]):
        yield "stack_request_timeout must be larger than stack_database_timeout and stack_redis_timeout: it spans both."


def backup_conflicts(values: Mapping[str, Any]) -> Iterator[str]:
    """Return a sentence for each conflict between the backups' variables."""
    remote = values["backup_repository"]
    if not remote and not values["backup_local_repository"]:
        yield "backup_local_repository or backup_repository must be set: backups need a repository."
    if not any(values[f"backup_keep_{each}"] for each in ("hourly", "daily", "weekly", "monthly")):
        yield "backup_keep_hourly, _daily, _weekly and _monthly must not all be 0."
    if remote.startswith("sftp:") and not (values["backup_sftp_key"] and values["backup_sftp_host_key"]):
        yield "backup_sftp_key and backup_sftp_host_key must be set with a backup_repository that begins with sftp://."
    if bool(values["backup_repository_user"]) != bool(values["backup_repository_secret"]):
        yield "backup_repository_user and backup_repository_secret must be set both, or neither."
    if remote.startswith("s3:") and not values["backup_repository_user"]:
        yield "backup_repository_user and backup_repository_secret must be set with a backup_repository of S3."
    replica = values["backup_replica"]
    if replica.startswith("s3:") and not (values["backup_replica_user"] and values["backup_replica_secret"]):
        yield "backup_replica_user and backup_replica_secret must be set with a backup_replica of S3."
    if replica.startswith("sftp:") and not (
        values["backup_replica_sftp_key"] and values["backup_replica_sftp_host_key"]
    ):
        yield "backup_replica_sftp_key and backup_replica_sftp_host_key must be set with a backup_replica of SFTP."


def no_conflicts(_values: Mapping[str, Any]) -> Iterator[str]:
    """Return nothing: the variables of most roles do not depend on each other."""
    yield from ()


CONFLICTS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "stack": stack_conflicts,
    "backup": backup_conflicts,
}
