"""The directories on the server, and the file sets of releases.

A file set is all that a release consists of besides its images. There is one in `wanted`, which the playbook writes,
one in each kept release's directory, and the installed one, which the containers use.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.files import read_json, write_atomically

from cleaning_service_release.errors import SupersededError

# Name of each file or directory in a file set: its installed path, relative to the service's directory.
PATHS: Mapping[str, str] = {
    "docker-compose.stable.yml": "docker-compose.stable.yml",
    "env": ".env",
    "redis.conf": "redis/config/redis.conf",
    "Caddyfile": "proxy/config/Caddyfile",
    "certificate.pem": "proxy/config/certificate.pem",
    "certificate-key.pem": "proxy/config/certificate-key.pem",
    "pages": "proxy/config/pages",
}
_CERTIFICATE = ("certificate.pem", "certificate-key.pem")
_NEW = ".new"
_MONITOR_CONFIG = "monitor.json"
# The monitor's settings that belong to a release. All others, such as alert channels, belong to the host.
_MONITOR_KEYS = {"components", "canary_token"}
_MONITOR_HOST_KEYS = {"certificate_name", "certificate_port"}
_ORIGIN = "origin"


class Layout:
    """The paths of one installation.

    Args:
        directory: the service's directory, usually /opt/fastapi-backend.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.compose_file = directory / PATHS["docker-compose.stable.yml"]
        self.env_file = directory / PATHS["env"]
        self.database = directory / "data" / "cleaning_service_stable.db"
        self.database_created = directory / "releases" / "database-made"
        self.snapshots = directory / "data" / "snapshots"
        self.wanted = directory / "wanted"
        self.next_set = directory / "releases" / "next"
        self.releases = directory / "releases"
        self.previous = self.releases / "previous"
        self.journal = self.releases / "releases.jsonl"
        self.lock = self.releases / "lock"
        self.in_progress = self.releases / "under-way.json"
        self.failed = self.releases / "failed.json"
        self.start_times = self.releases / "starts.json"
        self.current = self.releases / "current"

    def changed_paths(self, source: Path) -> list[str]:
        """Return the installed paths whose content differs from the file set."""
        return [path for name, path in PATHS.items() if _content(source / name) != _content(self.directory / path)]

    def copy_wanted(self, expected: str) -> Path:
        """Copy the wanted file set and return the copy: another run of the playbook may replace the original meanwhile.

        Args:
            expected: the file set's digest; empty to accept any.

        Raises:
            SupersededError: the digest differs.
        """
        _remove(self.next_set)
        if self.wanted.exists():
            _copy(self.wanted, self.next_set)
        self.require_digest(self.next_set, expected)
        return self.next_set

    def require_digest(self, source: Path, expected: str) -> None:
        """Check that a file set has the expected digest; an empty one accepts any.

        Raises:
            SupersededError: the digest differs.
        """
        if expected and digest(source) != expected:
            raise SupersededError(
                "another run of the playbook has prepared other settings or another version since: those are released, "
                "and this run's do not take effect. Agree with the other operator, then run the playbook again"
            )

    def is_installed(self) -> bool:
        """Whether a file set is installed."""
        return self.compose_file.exists() and self.env_file.exists()

    def save_installed(self, target: Path) -> None:
        """Copy the installed file set to a directory."""
        part = target.with_name(target.name + _NEW)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        for name, path in PATHS.items():
            if (self.directory / path).exists():
                _copy(self.directory / path, part / name)
        _remove(target)
        part.rename(target)

    def save_monitor_config(self, target: Path) -> None:
        """Copy the monitor's configuration to a kept release. The playbook writes it after that release."""
        if (self.directory / _MONITOR_CONFIG).exists() and target.is_dir():
            _copy(self.directory / _MONITOR_CONFIG, target / _MONITOR_CONFIG)

    def restore_monitor_config(self, source: Path) -> bool:
        """Restore a kept release's part of the monitor's configuration; return whether that changed anything."""
        then, now = read_json(source / _MONITOR_CONFIG), read_json(self.directory / _MONITOR_CONFIG)
        if not then or not now:
            return False
        wanted = {
            **now,
            **_subset(_MONITOR_KEYS, then),
            "host": {**now.get("host", {}), **_subset(_MONITOR_HOST_KEYS, then.get("host", {}))},
        }
        if wanted == now:
            return False
        write_atomically(self.directory / _MONITOR_CONFIG, wanted)
        return True

    def renewed_certificate(self, source: Path) -> Collection[str]:
        """Return the names of files that a rollback must not replace: the certificate may have been renewed since."""
        exist = [_content(source / name) and _content(self.directory / PATHS[name]) for name in _CERTIFICATE]
        same_domain = _content(source / "Caddyfile") == _content(self.directory / PATHS["Caddyfile"])
        return _CERTIFICATE if same_domain and all(exist) else ()

    def install(self, source: Path, *, skip: Collection[str] = ()) -> None:
        """Install a file set, except for the names in `skip`. Each file is replaced atomically."""
        for name, path in PATHS.items():
            if name in skip or _content(source / name) == _content(self.directory / path):
                continue
            target = self.directory / path
            new = target.with_name(target.name + _NEW)
            _remove(new)
            if (source / name).exists():
                _copy(source / name, new)
            if target.is_dir() or not new.exists():
                _remove(target)
            if new.exists():
                new.replace(target)


def origin(directory: Path) -> str:
    """Return the id of the release that a kept file set comes from; for a rollback's copy, its target's."""
    try:
        return (directory / _ORIGIN).read_text(encoding="utf-8").strip() or directory.name
    except OSError:
        return directory.name


def write_origin(directory: Path, name: str) -> None:
    """Record that a kept file set is a copy of an earlier release's."""
    (directory / _ORIGIN).write_text(name, encoding="utf-8")


def digest(top: Path) -> str:
    """Return a digest of all paths and contents in a directory. Must equal `digest` of the Ansible module `files`."""
    files = sorted(path for path in top.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(top)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _subset(keys: set[str], found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in found if key in keys}


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    elif root.is_dir():
        yield from (path for path in sorted(root.rglob("*")) if path.is_file())


def _content(root: Path) -> list[tuple[str, bytes]]:
    return [(path.relative_to(root).as_posix(), path.read_bytes()) for path in _files(root)]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or directory with its owners and modes, and flush it to the disk."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    for path in (target, *(target.rglob("*") if target.is_dir() else ())):
        found = (source / path.relative_to(target)).stat()
        os.chown(path, found.st_uid, found.st_gid)
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
