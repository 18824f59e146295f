"""File locks between programs of this host. The kernel releases a lock when its process ends."""

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cleaning_service_host.files import read_json

_POLL_INTERVAL = 0.5  # seconds between two attempts


class LockTimeoutError(Exception):
    """Another process has held the lock for too long; the message describes that process."""


@contextlib.contextmanager
def hold_lock(
    path: Path,
    owner: Mapping[str, object],
    *,
    timeout: float,
    describe: Callable[[Mapping[str, Any]], str],
    log: Callable[[str], None],
) -> Iterator[None]:
    """Hold an exclusive lock; wait for it if another process holds it.

    Args:
        path: the lock file.
        owner: description of this process for others, written to the lock file.
        timeout: seconds to wait for another process.
        describe: turns another process's `owner`, empty if unreadable, into a noun phrase for messages.
        log: called once with a message if this process has to wait.

    Raises:
        LockTimeoutError: another process did not release the lock in time.
    """
    with path.open("a+", encoding="utf-8") as file:
        deadline, logged = time.monotonic() + timeout, False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                who = describe(read_json(path))
                if time.monotonic() >= deadline:
                    raise LockTimeoutError(who) from None
                if not logged:
                    log(f"waiting for {who}")
                    logged = True
                time.sleep(_POLL_INTERVAL)
        file.seek(0)
        file.truncate()
        json.dump(dict(owner), file)
        file.flush()
        yield
