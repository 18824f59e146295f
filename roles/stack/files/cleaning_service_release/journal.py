"""The story of all releases, one JSON object a line, and the directories of those that are kept."""

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

KEPT = 3  # earlier releases, besides the current one
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_IMAGE = re.compile(r"^\s*image:\s*(\S+)\s*$", re.MULTILINE)
_IMAGES = "cleaning-service/"
_REPLICA = "cleaning-service/replica:"  # the role `backup` runs these images and removes them


@dataclass(frozen=True)
class Entry:
    """One release, as it ended.

    Attributes:
        id: when it began, which names it.
        kind: release or rollback.
        outcome: done, returned (to what ran before) or failed (a person was needed).
        by: who began it.
        image: of the API.
        before: the API's image before it, nothing for the first one.
        changed: the services that were replaced.
        seconds: how long it took.
        reason: why it failed.
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
        """When it began, in seconds since the epoch."""
        return float(calendar.timegm(time.strptime(self.id[:16], _ID_FORMAT)))


class Journal:
    """Of one service."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def new_id(self) -> str:
        """Return a name for a release that begins now."""
        base = time.strftime(_ID_FORMAT, time.gmtime())
        taken = {path.name for path in self._layout.releases.iterdir()}
        return next(name for name in (base, *(f"{base}-{number}" for number in range(2, 100))) if name not in taken)

    def write(self, entry: Entry) -> None:
        """Add a line, and see that it is on the disk."""
        with self._layout.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Return all of them, oldest first; a line that cannot be read is left out."""
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
        """Return the directory of the release that runs."""
        link = self._layout.current
        target = self._layout.releases / link.readlink() if link.is_symlink() else None
        return target if target and target.is_dir() else None

    def make_current(self, directory: Path) -> None:
        """Remember which release runs."""
        new = self._layout.current.with_name("current.new")
        new.unlink(missing_ok=True)
        new.symlink_to(directory.name)
        new.replace(self._layout.current)

    def prune(self) -> list[str]:
        """Remove what is older than the kept releases: their directories, images and snapshots; returns the images.

        A rollback makes a copy of the set it goes back to; only the last one counts, so that no other has to go for it.
        """
        found = self.kept()
        last = {origin(directory): directory for directory in found}
        kept = [directory for directory in found if directory in last.values()][-KEPT - 1 :]
        for directory in found:
            if directory not in kept:
                shutil.rmtree(directory)
        self.prune_snapshots()
        # Another release may have been prepared already, and wait for the lock.
        sets = [*kept, self._layout.wanted, self._layout.previous]
        needed = {image for directory in sets for image in images_of(directory)}
        present = [image for image in compose.images(_IMAGES) if not image.startswith(_REPLICA)]
        unused = [image for image in present if image not in needed and not image.endswith(":<none>")]
        for image in unused:
            compose.remove_image(image)
        return unused

    def prune_snapshots(self) -> None:
        """Remove all but the last few snapshots of releases, and what is left of one that was interrupted."""
        found = [
            path for path in sorted(self._layout.snapshots.glob("*.db*")) if _ID.fullmatch(path.name.partition(".")[0])
        ]
        complete = [path for path in found if path.suffix == ".db"]
        for path in found:
            if path not in complete[-KEPT - 1 :]:
                path.unlink()


def _entry(line: str) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None


def images_of(directory: Path) -> list[str]:
    """Return the images that the compose file of a set names."""
    try:
        return _IMAGE.findall((directory / "docker-compose.stable.yml").read_text(encoding="utf-8"))
    except OSError:
        return []


def api_image(directory: Path) -> str:
    """Return the API's image of a set; nothing where there is none."""
    return next((image for image in images_of(directory) if image.startswith("cleaning-service/api:")), "")
