"""Going on in a systemd unit of its own, which outlives whoever called, such as a laptop that goes away."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parents[1]  # where all programs of this service lie


def go_into_a_unit(
    module: str, arguments: Sequence[str], *, longest: float, to_end: float = 90.0, afterwards: str = ""
) -> None:
    """Go on as `python -m module arguments` in a unit; returns only where there is no systemd.

    Args:
        module: of a program of this service; the unit has its name, with the number of this process.
        arguments: for it; one of them has to tell it that it is in the unit already.
        longest: seconds that it may take.
        to_end: seconds that it may take to end when it is told to.
        afterwards: a command that is run whatever ends it.
    """
    if not Path("/run/systemd/system").exists():
        return
    command = [
        "systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec",
        f"--unit={module.replace('_', '-')}-{os.getpid()}",
        f"--property=RuntimeMaxSec={longest:g}", f"--property=TimeoutStopSec={to_end:g}",
        "--property=KillMode=mixed", "--property=After=docker.service",
        *([f"--property=ExecStopPost={afterwards}"] if afterwards else []),
        "--setenv=PYTHONDONTWRITEBYTECODE=1", f"--working-directory={_SCRIPTS}",
        sys.executable, "-m", module, *arguments,
    ]  # fmt: skip
    os.execvp(command[0], command)  # noqa: S606
