"""Digest of a directory's content, for naming an image after what it is built from."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tree_digest
short_description: SHA-256 over the files of a directory
description:
  - Returns one digest for each directory, over the relative path and the content of each file in it.
  - Compiled Python files are left out, so that running the tests does not make a new release.
options:
  _terms:
    description: Directories on the controller.
    required: true
"""
EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ lookup('tree_digest', playbook_dir ~ '/../app') }}"
"""
RETURN = r"""
_raw:
  description: The first 12 hexadecimal digits of each digest.
  type: list
  elements: str
"""

import hashlib
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """Looks up the digest of directories on the controller."""

    def run(self, terms: list[str], variables: object = None, **kwargs: object) -> list[str]:  # noqa: ARG002
        """Return the digest of each directory in `terms`; a missing or empty one is an error."""
        return [self._digest(Path(term)) for term in terms]

    def _digest(self, root: Path) -> str:
        files = sorted(
            path
            for path in root.rglob("*")
            if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
        )
        if not files:
            raise AnsibleLookupError(f"tree_digest: {root} is missing or holds no file; is the checkout complete?")
        digest = hashlib.sha256()
        for path in files:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:12]
