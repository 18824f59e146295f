"""Owner and mode of the containers' data files. Containers cannot write files that root has copied there.

The containers can rename files and create links while this runs as root. So the walk uses directory descriptors
instead of paths, and follows no links.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.layout import Layout

OWNED_DIRECTORIES = ("data", "logs", "redis/data", "proxy/data")
"""Directories, relative to the service's, that belong to the containers' user with all their content."""
_DIRECTORY_MODE = 0o750
_USER = re.compile(r'^\s*user:\s*"?(\d+):(\d+)"?\s*$', re.MULTILINE)
_FILE_ACCESS, _DIRECTORY_ACCESS = stat.S_IRUSR | stat.S_IWUSR, stat.S_IRWXU


def mend(layout: Layout, *, check: bool = False) -> list[str]:
    """Create missing directories and correct owners and modes; return a sentence for each correction.

    Args:
        layout: the installation.
        check: change nothing.

    Raises:
        ReleaseError: a correction failed, or no compose file names the user.
    """
    user, group = user_of(layout)
    found: list[str] = []
    try:
        for place in OWNED_DIRECTORIES:
            top = layout.directory / place
            if not top.is_dir():
                found.append(f"{top} was missing")
                if check:
                    continue
                top.parent.mkdir(mode=0o755, exist_ok=True)
                top.mkdir()
                top.chmod(_DIRECTORY_MODE)
            found += _mend_tree(top, user, group, check=check)
    except OSError as error:
        raise ReleaseError(f"{error.filename} cannot be given to the user {user}: {error.strerror}") from error
    return found


def user_of(layout: Layout) -> tuple[int, int]:
    """Return the user id and group id that the containers run as.

    Raises:
        ReleaseError: no compose file names them.
    """
    for file in (layout.compose_file, layout.wanted / layout.compose_file.name):
        if file.exists() and (match := _USER.search(file.read_text(encoding="utf-8"))):
            return int(match[1]), int(match[2])
    raise ReleaseError(f"{layout.compose_file} names no user: run the playbook site.yml")


def _mend_tree(top: Path, user: int, group: int, *, check: bool) -> Iterator[str]:
    # The directory itself may be a link to another disk; links below it are not followed.
    for path, _, files, directory in os.fwalk(top.resolve()):
        for name in (".", *files):
            before = os.stat(name, dir_fd=directory, follow_symlinks=False)
            needed = _DIRECTORY_ACCESS if name == "." else _FILE_ACCESS
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
                _add_permissions(name, directory, needed)


def _add_permissions(name: str, directory: int, needed: int) -> None:
    """Add permissions for the owner. Works on an open descriptor, since the name could be replaced by a link."""
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        found = os.fstat(opened)
        if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            os.fchmod(opened, stat.S_IMODE(found.st_mode) | needed)
    finally:
        os.close(opened)
