"""Ansible module: checks each file system for enough free space."""

from __future__ import annotations

DOCUMENTATION = r"""
module: free_space
short_description: Compares the free space of file systems with the space needed on them
description:
  - Changes nothing, and does not fail when space is short. Directories on the same file system are added up.
  - For a directory that does not exist yet, the file system of its nearest existing parent counts.
options:
  megabytes:
    description: The space needed if all directories are on one file system, in MB (1024² bytes).
    type: int
  shares:
    description: Shares of that in percent, by directory. C(docker) stands for Docker's data directory.
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
  description: A sentence for each file system with too little space.
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
    """Run the module."""
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
    """Return a sentence for each file system with too little free space."""
    shares_by_mount: dict[Path, dict[Path, int]] = {}
    for name, share in shares.items():
        path = docker_root() if name == DOCKER else Path(name)
        shares_by_mount.setdefault(mount_of(path), {})[path] = share
    found = []
    for mount, paths in shares_by_mount.items():
        needed = -(-megabytes * sum(paths.values()) // _PERCENT)
        free = free_megabytes(mount)
        if free < needed:
            listed = ", ".join(str(path) for path in paths)
            found.append(f"There are {free} MB free on {mount}, and {needed} MB are needed there for {listed}.")
    return found


def mount_of(path: Path) -> Path:
    """Return the mount point of the file system that a path is on, or would be created on."""
    existing = next(each for each in (path, *path.parents) if each.exists()).resolve()
    return next(each for each in (existing, *existing.parents) if os.path.ismount(each))


def free_megabytes(mount: Path) -> int:
    """Return the space that is available to programs without special rights, in MB."""
    found = os.statvfs(mount)
    return found.f_bavail * found.f_frsize // _MB


def docker_root() -> Path:
    """Return Docker's data directory: from the running engine, else from its settings, else the default."""
    command = ["docker", "info", "--format", "{{.DockerRootDir}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
        root = done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        root = ""
    if not root:
        try:
            root = str(json.loads(DOCKER_SETTINGS.read_text(encoding="utf-8"))["data-root"])
        except (OSError, ValueError, KeyError, TypeError):
            return DOCKER_ROOT
    return Path(root)


if __name__ == "__main__":
    main()
