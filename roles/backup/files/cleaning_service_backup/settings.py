"""The settings of backups, as the playbook writes them to backup.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleaning_service_backup.errors import BackupError

LOCAL, REMOTE, REPLICA = "local", "remote", "replica"
"""Where data can be restored from."""


@dataclass(frozen=True)
class RepositorySettings:
    """Where one history is kept.

    Attributes:
        name: local or remote.
        location: as restic names it.
        environment: variables of restic for it, with its secrets.
        options: arguments of restic for it.
        append_only: nobody on this server can remove anything there, so nobody here tries.
    """

    name: str
    location: str = field(repr=False)  # it can hold a password
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: tuple[str, ...] = ()
    append_only: bool = False

    @property
    def directory(self) -> Path | None:
        """The directory of this server that it is, if it is one."""
        return Path(self.location) if self.location.startswith("/") else None


@dataclass(frozen=True)
class Keep:
    """How many backups are kept: the last of each of so many hours, days, weeks and months."""

    hourly: int
    daily: int
    weekly: int
    monthly: int


@dataclass(frozen=True)
class Settings:
    """All settings.

    Attributes:
        directory: of the service.
        host: the name under which this server's backups are kept, since several may share a repository.
        repositories: the histories, the local one first.
        keep: how long they are kept.
        check_mb: MB of each repository that are read back every week.
        set_aside_keep: how many restores keep what they have set aside.
        set_aside_mb: MB that all of that may take; the last one stays in any case.
        reserve_mb: MB that a backup or a drill leaves free on each disk that it writes to.
        replica: where the database is replicated to; nothing where it is not.
    """

    directory: Path
    host: str
    repositories: tuple[RepositorySettings, ...]
    keep: Keep
    check_mb: int
    set_aside_keep: int
    set_aside_mb: int
    reserve_mb: int
    replica: Mapping[str, Any] | None = None


def load(path: Path) -> Settings:
    """Read the settings.

    Raises:
        BackupError: the file is missing, cannot be read or is not what the playbook writes.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return parse(found)
    except OSError as error:
        hint = (
            "run this as root" if isinstance(error, PermissionError) else "run the playbook site.yml, which writes it"
        )
        raise BackupError(f"{path}: {error.strerror}; {hint}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is damaged ({error}): run the playbook site.yml, which writes it anew") from error


def parse(found: Mapping[str, Any]) -> Settings:
    """Make settings of what the file holds.

    Raises:
        ValueError, KeyError, TypeError: it is not what the playbook writes.
    """
    return Settings(
        directory=Path(found["directory"]),
        host=str(found["host"]),
        repositories=tuple(
            RepositorySettings(
                name=str(each["name"]),
                location=str(each["location"]),
                environment={str(name): str(value) for name, value in each.get("environment", {}).items()},
                options=tuple(map(str, each.get("options", []))),
                append_only=bool(each.get("append_only", False)),
            )
            for each in found["repositories"]
        ),
        keep=Keep(**{name: int(found["keep"][name]) for name in ("hourly", "daily", "weekly", "monthly")}),
        check_mb=int(found["check_mb"]),
        set_aside_keep=int(found["set_aside_keep"]),
        set_aside_mb=int(found["set_aside_mb"]),
        reserve_mb=int(found["reserve_mb"]),
        replica=found.get("replica"),
    )
