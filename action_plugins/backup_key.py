"""Ansible action: provides the backup key, and fails if a remote repository's key would exist on the server alone."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_key
short_description: Finds or creates the backup key, and stores it
description:
  - The key is the first of these that exists, the option C(key), the content of the vault-encrypted file on the
    controller, the host's key; otherwise a new one.
  - With a vault password, a key that is not in the file yet is encrypted and written to it.
  - Without a vault password, file and option, a remote repository is refused, since its backups would be lost with the
    host.
options:
  key:
    description: The key from a variable; empty for none.
    type: str
  file:
    description: The vault-encrypted file on the controller; empty for none.
    type: str
  remote:
    description: Whether there is a repository outside the host.
    type: bool
  known:
    description: The host's current key; empty for none.
    type: str
  only_check:
    description: Only check whether a key exists or can be created.
    type: bool
"""
EXAMPLES = r"""
- backup_key:
    file: "{{ inventory_dir }}/backup-key.vault.txt"
    remote: true
"""
RETURN = r"""
key:
  description: The key.
  type: str
where:
  description: Where the key is stored besides the host, C(variable) or C(file); C(host) for nowhere else.
  type: str
"""

import os
import secrets
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.vault import VaultLib
from ansible.plugins.action import ActionBase

LENGTH = 32  # random bytes


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Provides the backup key."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"key", "file", "remote", "known", "only_check"})

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the key and where it is stored."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        given, known = str(arguments.get("key") or ""), str(arguments.get("known") or "")
        file = Path(str(arguments.get("file"))) if arguments.get("file") else None
        only_check = boolean(arguments.get("only_check", False))
        if given:
            return result | {"changed": False, "key": given, "where": "variable"}
        try:
            if file and file.exists():
                return result | {"changed": False, "key": self._read(file), "where": "file"}
            if file and self._vault().secrets:
                key = known or secrets.token_urlsafe(LENGTH)
                changed = not only_check
                if changed and not self._task.check_mode:
                    key, changed = self._write(file, key)
                return result | {"changed": changed, "key": key, "where": "file"}
        except AnsibleError as error:
            return result | {"failed": True, "msg": str(error)}
        if boolean(arguments.get("remote", False)):
            return result | {"failed": True, "msg": _REFUSAL.format(file=file or "a file of the inventory")}
        return result | {"changed": False, "key": known or secrets.token_urlsafe(LENGTH), "where": "host"}

    def _vault(self) -> VaultLib:
        return self._loader._vault  # noqa: SLF001  # Ansible has no public access to it

    def _read(self, file: Path) -> str:
        """Return the key in a file.

        Raises:
            AnsibleError: the file cannot be read or decrypted.
        """
        try:
            content = file.read_bytes()
        except OSError as error:
            raise AnsibleError(f"{file}, the backup key, cannot be read: {error.strerror}") from error
        if not content.startswith(b"$ANSIBLE_VAULT"):
            raise AnsibleError(f"{file}, the backup key, is not encrypted: run `ansible-vault encrypt {file}`")
        try:
            return str(self._vault().decrypt(content).decode().strip())
        except AnsibleError as error:
            raise AnsibleError(
                f"{file}, the backup key, cannot be decrypted: give the vault password with --ask-vault-pass "
                f"or --vault-password-file ({error})"
            ) from error

    def _write(self, file: Path, key: str) -> tuple[str, bool]:
        """Encrypt and write the key, unless another host's task has just written one; return the file's key.

        Raises:
            AnsibleError: the file cannot be written.
        """
        secret = self._vault().encrypt(f"{key}\n")
        part = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            part.write_bytes(secret if isinstance(secret, bytes) else secret.encode())
            part.chmod(0o600)
            try:
                os.link(part, file)  # atomic, and never replaces an existing file
            except FileExistsError:
                return self._read(file), False
            finally:
                part.unlink()
        except OSError as error:
            raise AnsibleError(f"the backup key cannot be written to {file}: {error.strerror}") from error
        return key, True


_REFUSAL = (
    "backup_repository is set, and its key would be stored on the server alone: with the server, all backups would be "
    "lost. Run the playbook with a vault password (--ask-vault-pass, or --vault-password-file), and the key is created "
    "and stored in {file}; or set backup_key (20 characters or more) where you keep your secrets."
)
