"""Atomic file writes: a reader, also one after a crash, finds either the old content or the new."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if the file is missing or invalid."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_atomically(path: Path, data: object) -> None:
    """Replace a file's content with JSON, readable by root alone.

    Raises:
        OSError: the file could not be written; the old one is unchanged.
    """
    write_text_atomically(path, json.dumps(data), mode=0o600)


def write_text_atomically(path: Path, text: str, *, mode: int) -> None:
    """Replace a file's content with a text, and set its mode.

    Raises:
        OSError: the file could not be written; the old one is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Other users must not be able to open the file before its mode is set.
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


def flush_directory(directory: Path) -> None:
    """Put the names in a directory on the disk: after a power cut, a file created or renamed before is there."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
