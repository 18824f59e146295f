"""Ansible module: whether each file system that something is to be put on has room for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: free_space
short_description: Compares the free space of file systems with what is to be put there
description:
  - Changes nothing, and does not fail on too little. Each file system is looked at once, for all that lies on it.
  - A directory that does not exist yet counts where the nearest one above it lies.
options:
  megabytes:
    description: What is needed if all of it lies on one file system; in MB (1024² bytes).
    type: int
  shares:
    description: Shares of that in percent, by directory. The name C(docker) stands for that of Docker's images.
    type: dict
"""
EXAMPLES = r"""
- name: Measure the free space
  free_space:
    megabytes: 2048
    shares: {docker: 60, /opt/example: 40}
  register: found
"""
RETURN = r"""
complaints:
  description: A sentence for each file system that has too little.
  type: list
  elements: str
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCKER = "docker"
DOCKER_ROOT = Path("/var/lib/docker")
DOCKER_SETTINGS = Path("/etc/docker/daemon.json")
TIMEOUT = 30.0  # seconds for Docker's answer
_MB = 1024**2
_PERCENT = 100


def main() -> None:
    """Do what the task says."""
    module = AnsibleModule(
        argument_spec={
            "megabytes": {"type": "int", "required": True},
            "shares": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    shares = {name: int(share) for name, share in module.params["shares"].items()}
    module.exit_json(changed=False, complaints=complaints(shares, module.params["megabytes"]))


def complaints(shares: Mapping[str, int], megabytes: int) -> list[str]:
    """Say which file systems have too little, and for what."""
    held: dict[Path, dict[Path, int]] = {}
    for name, share in shares.items():
        path = docker_root() if name == DOCKER else Path(name)
        held.setdefault(mount_of(path), {})[path] = share
    found = []
    for mount, paths in held.items():
        needed = -(-megabytes * sum(paths.values()) // _PERCENT)
        free = free_megabytes(mount)
        if free < needed:
            listed = ", ".join(str(path) for path in paths)
            found.append(f"There are {free} MB free on {mount}, and {needed} MB are needed there for {listed}.")
    return found


def mount_of(path: Path) -> Path:
    """Return where the file system is mounted on which a path lies, or will lie."""
    there = next(each for each in (path, *path.parents) if each.exists()).resolve()
    return next(each for each in (there, *there.parents) if os.path.ismount(each))


def free_megabytes(mount: Path) -> int:
    """Return what programs may still write on a file system."""
    found = os.statvfs(mount)
    return found.f_bavail * found.f_frsize // _MB


def docker_root() -> Path:
    """Return where Docker keeps images: as it says, else as its settings say, else where it does by default."""
    command = ["docker", "info", "--format", "{{.DockerRootDir}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
        said = done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if not said:
        try:
            said = str(json.loads(DOCKER_SETTINGS.read_text(encoding="utf-8"))["data-root"])
        except (OSError, ValueError, KeyError, TypeError):
            return DOCKER_ROOT
    return Path(said)


if __name__ == "__main__":
    main()
