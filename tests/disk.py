"""What a program does to files, in order: what of it a crash would leave, and who could read it in between."""

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
        file: whether it is a file, and no link or directory.
    """

    call: str
    inode: int
    size: int
    mode: int
    file: bool


def watch(patch: pytest.MonkeyPatch) -> list[Step]:
    """Return a list that gets each of these calls of this process."""
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
    """Return the files that got their final names, each of which must be on the disk by then."""
    found = []
    for number, step in enumerate(steps):
        if step.call in ("rename", "replace") and step.file:
            synced = [(each.inode, each.size) for each in steps[:number] if each.call == "fsync"]
            assert (step.inode, step.size) in synced, "a crash would leave an empty file"
            found.append(step)
    return found
