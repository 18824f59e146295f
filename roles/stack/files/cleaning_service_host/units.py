"""Run a program in its own systemd unit, so that it survives the end of the caller's connection."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parents[1]  # holds all Python programs of the service


def run_in_systemd_unit(
    module: str, arguments: Sequence[str], *, timeout: float, stop_timeout: float = 90.0, exec_stop_post: str = ""
) -> None:
    """Replace this process by `python -m module arguments` in a transient unit; returns only on a host without systemd.

    Args:
        module: a Python program of this service; the unit is named after it and this process's id.
        arguments: the program's arguments; one of them must say that the program already runs in its unit.
        timeout: seconds until systemd stops the program.
        stop_timeout: seconds between SIGTERM and SIGKILL.
        exec_stop_post: a command to run after the program, however it ended.
    """
    if not Path("/run/systemd/system").exists():
        return
    command = [
        "systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec",
        f"--unit={module.replace('_', '-')}-{os.getpid()}",
        f"--property=RuntimeMaxSec={timeout:g}", f"--property=TimeoutStopSec={stop_timeout:g}",
        "--property=KillMode=mixed", "--property=After=docker.service",
        *([f"--property=ExecStopPost={exec_stop_post}"] if exec_stop_post else []),
        "--setenv=PYTHONDONTWRITEBYTECODE=1", f"--working-directory={_SCRIPTS}",
        sys.executable, "-m", module, *arguments,
    ]  # fmt: skip
    os.execvp(command[0], command)  # noqa: S606
