"""The demo host of `make up`, for benchmarks that need a whole host."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOST = "cleaning-service-demo"
_TIMEOUT = 900.0  # seconds


def address() -> str:
    """The demo host's address on this machine's Docker network."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return subprocess.check_output(["docker", "inspect", "--format", form, HOST], text=True).strip()


def play(root: Path, playbook: str, *arguments: str) -> str:
    """Run a playbook of the checkout `root` against the demo host; returns what it printed.

    Raises:
        SystemExit: it failed.
    """
    run = subprocess.run(
        ["ansible-playbook", "--inventory", "inventory/demo", *arguments, playbook],
        cwd=root,
        env=os.environ | {"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if run.returncode != 0:
        sys.exit(f"{playbook} failed:\n{run.stdout[-4000:]}")
    return run.stdout
