"""Owner and mode of what the containers write: no container can write a backup that root has copied back.

The walk holds on to directories, not to names, and follows no links: the containers may rename what lies in there.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.layout import Layout

OWNED = ("data", "logs", "redis/data", "proxy/data")
"""Directories below the service's own that are the containers' user's, with all that is in them."""
_DIRECTORY = 0o750
_USER = re.compile(r'^\s*user:\s*"?(\d+):(\d+)"?\s*$', re.MULTILINE)
_FILE, _FOLDER = stat.S_IRUSR | stat.S_IWUSR, stat.S_IRWXU


def mend(layout: Layout, *, check: bool = False) -> list[str]:
    """Make the missing directories, and give the containers' user what is somebody else's; returns what was wrong.

    Args:
        layout: of the service.
        check: only look.

    Raises:
        ReleaseError: it cannot be done, or there is no compose file to take the user from.
    """
    user, group = user_of(layout)
    found: list[str] = []
    try:
        for place in OWNED:
            top = layout.directory / place
            if not top.is_dir():
                found.append(f"{top} was missing")
                if check:
                    continue
                top.parent.mkdir(mode=0o755, exist_ok=True)
                top.mkdir()
                top.chmod(_DIRECTORY)
            found += _mend_tree(top, user, group, check=check)
    except OSError as error:
        raise ReleaseError(f"{error.filename} cannot be given to the user {user}: {error.strerror}") from error
    return found


def user_of(layout: Layout) -> tuple[int, int]:
    """Return the user and group that the containers run as.

    Raises:
        ReleaseError: there is no compose file to take them from.
    """
    for file in (layout.compose_file, layout.wanted / layout.compose_file.name):
        if file.exists() and (match := _USER.search(file.read_text(encoding="utf-8"))):
            return int(match[1]), int(match[2])
    raise ReleaseError(f"{layout.compose_file} names no user: run the playbook site.yml")


def _mend_tree(top: Path, user: int, group: int, *, check: bool) -> Iterator[str]:
    # The top may be a link to another disk; what is below it may not lead elsewhere.
    for path, _, files, directory in os.fwalk(top.resolve()):
        for name in (".", *files):
            before = os.stat(name, dir_fd=directory, follow_symlinks=False)
            needed = _FOLDER if name == "." else _FILE
            foreign = (before.st_uid, before.st_gid) != (user, group)
            closed = not stat.S_ISLNK(before.st_mode) and before.st_mode & needed != needed
            if not foreign and not closed:
                continue
            yield f"{Path(path, name)} was {before.st_uid}:{before.st_gid} {stat.S_IMODE(before.st_mode):04o}"
            if check:
                continue
            if foreign:
                os.chown(name, user, group, dir_fd=directory, follow_symlinks=False)
            if closed:
                _open_up(name, directory, needed)


def _open_up(name: str, directory: int, needed: int) -> None:
    """Add to the mode what its owner needs; of a file or directory that is opened, as a name may become a link."""
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        found = os.fstat(opened)
        if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            os.fchmod(opened, stat.S_IMODE(found.st_mode) | needed)
    finally:
        os.close(opened)
