"""Where everything lies on the server, and moving sets of files into their places.

A set is what one release consists of besides its images: `wanted` (the playbook writes it), one directory for each
kept release, and the files in place, which the containers use.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.files import read_json, write_atomically

from cleaning_service_release.errors import SupersededError

# A set's name of each file or directory: its place below the service's directory.
PLACES: Mapping[str, str] = {
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
_MONITOR = "monitor.json"
# What of the monitor's settings belongs to a release; the others, such as where alerts go, are the host's.
_WATCHED = {"components", "canary_token"}
_WATCHED_OF_HOST = {"certificate_name", "certificate_port"}
_ORIGIN = "origin"


class Layout:
    """The directories of one service.

    Args:
        directory: the service's, usually /opt/fastapi-backend.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.compose_file = directory / PLACES["docker-compose.stable.yml"]
        self.env_file = directory / PLACES["env"]
        self.database = directory / "data" / "cleaning_service_stable.db"
        self.database_made = directory / "releases" / "database-made"
        self.snapshots = directory / "data" / "snapshots"
        self.wanted = directory / "wanted"
        self.next = directory / "releases" / "next"
        self.releases = directory / "releases"
        self.previous = self.releases / "previous"
        self.journal = self.releases / "releases.jsonl"
        self.lock = self.releases / "lock"
        self.under_way = self.releases / "under-way.json"
        self.failed = self.releases / "failed.json"
        self.starts = self.releases / "starts.json"
        self.current = self.releases / "current"

    def differing(self, source: Path) -> list[str]:
        """Return the places whose content is not that of the set."""
        return [place for name, place in PLACES.items() if _content(source / name) != _content(self.directory / place)]

    def take(self, expected: str) -> Path:
        """Copy the wanted set, which another run of the playbook may replace meanwhile; returns the copy's directory.

        Args:
            expected: the digest of what is meant; nothing for whatever is there.

        Raises:
            SupersededError: it is another set.
        """
        _remove(self.next)
        if self.wanted.exists():
            _copy(self.wanted, self.next)
        self.require(self.next, expected)
        return self.next

    def require(self, source: Path, expected: str) -> None:
        """See that a set is the one that is meant.

        Raises:
            SupersededError: it is another one.
        """
        if expected and digest(source) != expected:
            raise SupersededError(
                "another run of the playbook has prepared other settings or another version since this one did: those "
                "come into service, and this run's do not. See to it that the two agree, then run the playbook again"
            )

    def in_place(self) -> bool:
        """Whether there is a set in place."""
        return self.compose_file.exists() and self.env_file.exists()

    def keep(self, target: Path) -> None:
        """Copy the set in place to a directory of its own."""
        part = target.with_name(target.name + _NEW)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        for name, place in PLACES.items():
            if (self.directory / place).exists():
                _copy(self.directory / place, part / name)
        _remove(target)
        part.rename(target)

    def remember_monitor(self, target: Path) -> None:
        """Copy what the monitor watches to a kept set: its playbook writes it after the release that it belongs to."""
        if (self.directory / _MONITOR).exists() and target.is_dir():
            _copy(self.directory / _MONITOR, target / _MONITOR)

    def put_monitor(self, source: Path) -> bool:
        """Let the monitor watch what it watched then; whether that is something else than now."""
        then, now = read_json(source / _MONITOR), read_json(self.directory / _MONITOR)
        if not then or not now:
            return False
        wanted = {
            **now,
            **_only(_WATCHED, then),
            "host": {**now.get("host", {}), **_only(_WATCHED_OF_HOST, then.get("host", {}))},
        }
        if wanted == now:
            return False
        write_atomically(self.directory / _MONITOR, wanted)
        return True

    def renewed(self, source: Path) -> Collection[str]:
        """Return the names of what a rollback to a set leaves in place: a certificate may have been renewed since."""
        there = [_content(source / name) and _content(self.directory / PLACES[name]) for name in _CERTIFICATE]
        same = _content(source / "Caddyfile") == _content(self.directory / PLACES["Caddyfile"])
        return _CERTIFICATE if same and all(there) else ()

    def put(self, source: Path, *, but: Collection[str] = ()) -> None:
        """Put a set in place, each file at once or not at all, but for what is named."""
        for name, place in PLACES.items():
            if name in but or _content(source / name) == _content(self.directory / place):
                continue
            target = self.directory / place
            new = target.with_name(target.name + _NEW)
            _remove(new)
            if (source / name).exists():
                _copy(source / name, new)
            if target.is_dir() or not new.exists():
                _remove(target)
            if new.exists():
                new.replace(target)


def origin(directory: Path) -> str:
    """Return the name of the release whose set a kept one is: its own, or that which a rollback went back to."""
    try:
        return (directory / _ORIGIN).read_text(encoding="utf-8").strip() or directory.name
    except OSError:
        return directory.name


def write_origin(directory: Path, name: str) -> None:
    """Remember that a kept set is a copy of an earlier release's."""
    (directory / _ORIGIN).write_text(name, encoding="utf-8")


def digest(top: Path) -> str:
    """Return what tells whether a directory holds the same files; as the module `files` of the playbook does."""
    files = sorted(path for path in top.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(top)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _only(keys: set[str], found: Mapping[str, Any]) -> dict[str, Any]:
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
    """Copy a file or a directory with owner and mode; what was copied is on the disk afterwards."""
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
