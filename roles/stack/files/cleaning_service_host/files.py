"""Files that a reader, or a crash at any moment, finds as they were or as they are to be."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file holds; nothing where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_atomically(path: Path, data: object) -> None:
    """Write JSON so that a reader, or a crash at any moment, sees the old file or the new one.

    Raises:
        OSError: it could not be written; the old file is still there.
    """
    write_text_atomically(path, json.dumps(data), mode=0o600)


def write_text_atomically(path: Path, text: str, *, mode: int) -> None:
    """Write a text in the same way, with the given permissions.

    Raises:
        OSError: it could not be written; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Nobody else can open it before it has its mode.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
