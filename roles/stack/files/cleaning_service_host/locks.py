"""Locks between programs of this server; the kernel lets go of one with the process that holds it."""

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.files import read_json

_LOOK = 0.5  # seconds between two attempts


class HeldError(Exception):
    """Another process holds the lock and does not let go of it; the text says who."""


@contextlib.contextmanager
def held(
    path: Path,
    owner: Mapping[str, object],
    *,
    patience: float,
    describe: Callable[[Mapping[str, Any]], str],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: of its file.
        owner: what others are told of this process, written into the file.
        patience: seconds to wait for another process.
        describe: makes of another process's `owner` how a sentence names it; of nothing where that cannot be read.
        say: told whom this process waits for, once.

    Raises:
        HeldError: another process has not let go of it in that time.
    """
    with path.open("a+", encoding="utf-8") as file:
        deadline, told = time.monotonic() + patience, False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                who = describe(read_json(path))
                if time.monotonic() >= deadline:
                    raise HeldError(who) from None
                if not told:
                    say(f"waiting for {who}")
                    told = True
                time.sleep(_LOOK)
        file.seek(0)
        file.truncate()
        json.dump(dict(owner), file)
        file.flush()
        yield
