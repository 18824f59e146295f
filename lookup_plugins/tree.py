"""Ansible lookup: the files of a directory on the controller, or one digest of them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tree
short_description: Contents of all files in a directory
description:
  - Returns a dictionary for each directory, with the content of each file by relative path.
  - Ignores compiled Python files, so that running the tests does not cause a new release.
options:
  _terms:
    description: Directories of text files on the controller.
    required: true
  digest:
    description: Return a digest of each directory instead, used as the tag of the image that is built from it.
    type: bool
    default: false
"""
EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ lookup('tree', 'app').keys() }} have the digest {{ lookup('tree', 'app', digest=true) }}"
"""
RETURN = r"""
_raw:
  description: A dictionary for each directory; or the first 12 hexadecimal digits of the SHA-256 of paths and contents.
  type: list
"""

import hashlib
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """Reads directories on the controller."""

    def run(self, terms: list[str], variables: object = None, **kwargs: object) -> list[object]:
        """Return the files of each directory in `terms`, or its digest. A missing or empty directory is an error."""
        self.set_options(var_options=variables, direct=kwargs)
        trees = [self._read(Path(term)) for term in terms]
        return [self._digest(tree) if self.get_option("digest") else self._text(tree) for tree in trees]

    def _read(self, root: Path) -> dict[str, bytes]:
        files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
        }
        if not files:
            raise AnsibleLookupError(f"tree: {root} is missing or empty; is the checkout complete?")
        return files

    def _text(self, tree: dict[str, bytes]) -> dict[str, str]:
        try:
            return {name: content.decode() for name, content in tree.items()}
        except UnicodeDecodeError as error:
            raise AnsibleLookupError(f"tree: a file is not a text file: {error}") from error

    def _digest(self, tree: dict[str, bytes]) -> str:
        digest = hashlib.sha256()
        for name, content in tree.items():
            digest.update(name.encode() + b"\0")
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()[:12]
