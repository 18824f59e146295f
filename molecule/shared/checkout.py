"""Copies of this checkout that differ from it, and playbooks run from them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from converged import ROOT

ONE_REPLICA = "stack_api_replicas=1"
_NOT_NEEDED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "dist")


@dataclass
class Checkout:
    """A copy with a change."""

    root: Path

    @classmethod
    def copy(cls, root: Path) -> Checkout:
        """Copy this one."""
        shutil.copytree(ROOT, root, ignore=_NOT_NEEDED)
        return cls(root)

    def change(self, path: str, before: str, after: str) -> None:
        """Replace a text that is there once."""
        file = self.root / path
        text = file.read_text()
        assert text.count(before) == 1, (path, before)
        file.write_text(text.replace(before, after))

    def set_version(self, version: str) -> None:
        """Make the API call itself so, and its image another one."""
        self.change("app/__init__.py", '__version__ = "', f'__version__ = "{version}+')

    def change_proxy(self) -> None:
        """Make the proxy's image another one."""
        dockerfile = self.root / "roles/stack/files/images/proxy/Dockerfile"
        dockerfile.write_text(dockerfile.read_text() + "LABEL test=another\n")

    def begin(self, playbook: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a playbook against the test host."""
        inventory = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)
        return subprocess.Popen(
            ["ansible-playbook", "--inventory", inventory, *arguments, playbook],
            cwd=self.root,
            # Molecule names the roles of its own checkout in the environment.
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(self.root / "ansible.cfg"),
                "ANSIBLE_ROLES_PATH": str(self.root / "roles"),
                "ANSIBLE_NOCOLOR": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, playbook: str, *arguments: str) -> tuple[int, str]:
        """Run a playbook to its end; returns the exit code and what it said."""
        process = self.begin(playbook, *arguments)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said
