"""A command with a child, as `docker compose` with its plugin, and whether both end."""

import time
from pathlib import Path

# The child would go on for a minute. Both write down who they are, in the working directory.
WITH_A_CHILD = "sleep 60 & echo $! >>pids; echo $$ >>pids; echo started;"


def have_begun() -> bool:
    """Tell whether both have written themselves down."""
    return Path("pids").exists() and len(Path("pids").read_text().split()) == 2


def end() -> bool:
    """Tell whether both end within five seconds."""
    assert have_begun()
    pids = [int(pid) for pid in Path("pids").read_text().split()]
    deadline = time.monotonic() + 5
    while any(map(_lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(_lives, pids))


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
