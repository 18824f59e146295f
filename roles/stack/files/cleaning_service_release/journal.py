"""The journal of all releases, one JSON object per line, and the directories of the kept releases."""

import calendar
import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cleaning_service_release import compose
from cleaning_service_release.layout import Layout, origin

KEPT_RELEASES = 3  # earlier releases kept besides the current one
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_IMAGE = re.compile(r"^\s*image:\s*(\S+)\s*$", re.MULTILINE)
_IMAGE_PREFIX = "cleaning-service/"
_REPLICA_PREFIX = "cleaning-service/replica:"  # the role `backup` removes its images itself


@dataclass(frozen=True)
class Entry:
    """One release or restore that has ended.

    Attributes:
        id: the time of its start, which is its name.
        kind: release, rollback or restore.
        outcome: done; returned: it failed and the previous state was restored; or failed: that failed too.
        by: the operator.
        image: the API's image.
        before: the API's previous image; empty for the first release.
        changed: the services whose containers were replaced.
        seconds: its duration.
        reason: the error, if it failed.
    """

    id: str
    kind: str
    outcome: str
    by: str
    image: str
    before: str
    changed: Sequence[str]
    seconds: float
    reason: str = ""

    @property
    def began(self) -> float:
        """The time of its start, in seconds since the epoch."""
        return float(calendar.timegm(time.strptime(self.id[:16], _ID_FORMAT)))


class Journal:
    """The release journal of one installation."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def new_id(self) -> str:
        """Return an unused id for a release that starts now."""
        base = time.strftime(_ID_FORMAT, time.gmtime())
        taken = {path.name for path in self._layout.releases.iterdir()}
        return next(name for name in (base, *(f"{base}-{number}" for number in range(2, 100))) if name not in taken)

    def write(self, entry: Entry) -> None:
        """Append an entry and flush it to the disk."""
        with self._layout.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first. Invalid lines are skipped."""
        try:
            lines = self._layout.journal.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [entry for line in lines if (entry := _entry(line))]

    def kept(self) -> list[Path]:
        """Return the directories of the kept releases, oldest first, the current one last."""
        current = self.current()
        found = sorted(path for path in self._layout.releases.iterdir() if path.is_dir() and _ID.fullmatch(path.name))
        return [path for path in found if path != current] + ([current] if current else [])

    def current(self) -> Path | None:
        """Return the directory of the running release, or None before the first."""
        link = self._layout.current
        target = self._layout.releases / link.readlink() if link.is_symlink() else None
        return target if target and target.is_dir() else None

    def make_current(self, directory: Path) -> None:
        """Record which release runs."""
        new = self._layout.current.with_name("current.new")
        new.unlink(missing_ok=True)
        new.symlink_to(directory.name)
        new.replace(self._layout.current)

    def prune(self) -> list[str]:
        """Remove the directories, images and snapshots of releases that are no longer kept; return the removed images.

        A rollback stores a copy of its target's files. Only the newest copy counts as a kept release, so that rollbacks
        do not displace other releases.
        """
        found = self.kept()
        last = {origin(directory): directory for directory in found}
        kept = [directory for directory in found if directory in last.values()][-KEPT_RELEASES - 1 :]
        for directory in found:
            if directory not in kept:
                shutil.rmtree(directory)
        self.prune_snapshots()
        # The next release may be prepared already and wait for the lock.
        sets = [*kept, self._layout.wanted, self._layout.previous]
        needed = {image for directory in sets for image in images_of(directory)}
        present = [image for image in compose.built_images(_IMAGE_PREFIX) if not image.startswith(_REPLICA_PREFIX)]
        unused = [image for image in present if image not in needed and not image.endswith(":<none>")]
        for image in unused:
            compose.remove_image(image)
        return unused

    def prune_snapshots(self) -> None:
        """Remove old snapshots of releases, and the remains of an interrupted one."""
        found = [
            path for path in sorted(self._layout.snapshots.glob("*.db*")) if _ID.fullmatch(path.name.partition(".")[0])
        ]
        complete = [path for path in found if path.suffix == ".db"]
        for path in found:
            if path not in complete[-KEPT_RELEASES - 1 :]:
                path.unlink()


def _entry(line: str) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None


def images_of(directory: Path) -> list[str]:
    """Return the images in the compose file of a release's files."""
    try:
        return _IMAGE.findall((directory / "docker-compose.stable.yml").read_text(encoding="utf-8"))
    except OSError:
        return []


def api_image(directory: Path) -> str:
    """Return the API's image of a release's files, or an empty string."""
    return next((image for image in images_of(directory) if image.startswith("cleaning-service/api:")), "")
