"""Records the system calls that decide whether a file survives a crash and who can read it."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Step:
    """One system call.

    Attributes:
        call: fchmod, fsync, rename or replace.
        inode: of the file or directory.
        size: bytes of it, before the call.
        mode: of it, before the call.
        file: whether it is a regular file.
    """

    call: str
    inode: int
    size: int
    mode: int
    file: bool


def watch(patch: pytest.MonkeyPatch) -> list[Step]:
    """Record each of these calls of this process; return the growing list."""
    steps: list[Step] = []

    def noting(call: str) -> Callable[..., Any]:
        real = getattr(os, call)

        def noted(first: Any, *others: Any, **named: Any) -> Any:  # noqa: ANN401  # as the call
            found = os.fstat(first) if isinstance(first, int) else os.lstat(first)
            mode = stat.S_IMODE(found.st_mode)
            steps.append(Step(call, found.st_ino, found.st_size, mode, stat.S_ISREG(found.st_mode)))
            return real(first, *others, **named)

        return noted

    for call in ("fchmod", "fsync", "rename", "replace"):
        patch.setattr(os, call, noting(call))
    return steps


def moved(steps: list[Step]) -> list[Step]:
    """Return the renames of files, and check that each file was flushed before."""
    found = []
    for number, step in enumerate(steps):
        if step.call in ("rename", "replace") and step.file:
            synced = [(each.inode, each.size) for each in steps[:number] if each.call == "fsync"]
            assert (step.inode, step.size) in synced, "a crash would leave an empty file"
            found.append(step)
    return found
