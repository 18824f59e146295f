"""Ansible module: manages several directories, files and links in one round trip to the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Manages several directories, files and links at once
description:
  - Does what C(ansible.builtin.file) and C(ansible.builtin.copy) do, for many paths in one round trip to the host.
    Those modules need one round trip for each directory and two for each file.
  - Processes directories first, then trees, files, links and absent paths. Each file is replaced atomically.
  - Owner and group default to C(root), the mode to 0755 for a directory and 0644 for a file.
options:
  directories:
    description: Directories, created with their parents. Each has C(path), and may have C(owner), C(group) and C(mode).
    type: list
    elements: dict
  trees:
    description:
      - Directories that contain these files and nothing else. Each has C(path) and C(files), a dictionary of contents
        by relative path, as the lookup C(tree) returns it; and may have C(owner) and C(group).
      - Must not contain secrets. C(--diff) names new files without their content.
      - C(keep) lists names of files and directories to leave alone; by default, compiled Python files.
    type: list
    elements: dict
  files:
    description:
      - Files. Each has C(path) and C(content), and may have C(owner), C(group) and C(mode).
      - C(secret) hides the content from C(--diff).
      - C(validate) is a command that must succeed before the file is replaced, such as C(nginx -t -c %s); C(%s) stands
        for a temporary file with the new content. If it fails, the module fails and the file is unchanged.
    type: list
    elements: dict
  links:
    description: Symbolic links. Each has C(path) and C(target), which must exist.
    type: list
    elements: dict
  absent:
    description: Files and links that must not exist.
    type: list
    elements: str
  digest_of:
    description: >-
      A directory whose digest is returned. Concurrent runs of this module with the same directory wait for each other,
      so the digest covers what this task has written.
    type: path
  read_by:
    description: The systemd unit whose process reads the files and trees when it starts.
    type: str
"""
EXAMPLES = r"""
- name: Write the settings
  files:
    directories:
      - {path: /etc/example, mode: "0750"}
    files:
      - {path: /etc/example/settings, content: "{{ lookup('ansible.builtin.template', 'settings.j2') }}"}
    absent: [/etc/example/old-settings]
"""
RETURN = r"""
paths:
  description: The paths that were changed, or would be in check mode.
  type: list
  elements: str
digest:
  description: SHA-256 of the directory C(digest_of), over path and SHA-256 of each file; empty without one.
  type: str
outdated:
  description:
    - Whether the process of C(read_by) must be restarted, because it started before the last change of its files.
    - Includes changes that were made by hand, or by an earlier run that was interrupted before the restart.
  type: bool
"""

import contextlib
import difflib
import fcntl
import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ATTRIBUTES = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
}
DIRECTORY_MODE, FILE_MODE = "0755", "0644"


def digest(top: Path) -> str:
    """Return a digest of all paths and contents in a directory. Must equal cleaning_service_release.layout.digest."""
    files = sorted(path for path in top.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(top)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextlib.contextmanager
def locked(directory: str | None) -> Iterator[Path | None]:
    """Lock a directory against other runs of this module; yield None if there is no directory to lock."""
    top = Path(directory or "")
    if not directory or not top.is_dir():
        yield None
        return
    handle = os.open(top, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield top
    finally:
        os.close(handle)


class PathManager:
    """Manages paths one by one and collects the changes."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self.changed: list[str] = []
        self.differences: list[str] = []
        self._newest = datetime.min.replace(tzinfo=timezone.utc)

    def directory(self, wanted: dict[str, str]) -> None:
        """Create a directory."""
        path = Path(wanted["path"])
        if not path.is_dir():
            if os.path.lexists(path):
                self._refuse(path, "a directory")
            self._note(path)
            if self._module.check_mode:
                return
            path.mkdir(parents=True)
        # A directory may be a link to one, on another disk for instance.
        self._attributes({**wanted, "path": str(path.resolve())}, path)

    def tree(self, wanted: dict[str, Any]) -> None:
        """Make a directory contain these files and nothing else."""
        top = Path(wanted["path"])
        contents: dict[str, str] = wanted.pop("files")  # the module's arguments are sent back to the controller
        directories = {parent for name in contents for parent in Path(name).parents}
        removed: set[Path] = set()
        for path in sorted(top.rglob("*")):
            name = path.relative_to(top)
            if not removed.isdisjoint(path.parents) or not set(name.parts).isdisjoint(wanted["keep"]):
                continue
            is_directory = path.is_dir() and not path.is_symlink()
            if not (name in directories if is_directory else name.as_posix() in contents):
                removed.add(path)
                self._remove(path, shutil.rmtree if is_directory else Path.unlink)
        attributes = {"owner": wanted["owner"], "group": wanted["group"]}
        for directory in sorted(directories):
            self.directory({**attributes, "path": str(top / directory), "mode": DIRECTORY_MODE})
        for file, content in contents.items():
            path = top / file
            options = {"secret": not path.is_file()}  # the diff names a new file without its content
            self.file({**attributes, **options, "path": str(path), "mode": FILE_MODE, "content": content})

    def file(self, wanted: dict[str, Any]) -> None:
        """Write a file."""
        path, content = Path(wanted["path"]), wanted["content"].encode(errors="surrogateescape")
        if path.is_dir():
            self._refuse(path, "a file")
        before = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        if before != content:
            self._note(path, None if wanted["secret"] else (before or b"", content))
            if self._module.check_mode:
                return
            self._replace(wanted, content)
        self._attributes(wanted, path)
        self._newest = max(self._newest, datetime.fromtimestamp(path.stat().st_mtime, timezone.utc))

    def link(self, wanted: dict[str, str]) -> None:
        """Create a symbolic link."""
        path, target = Path(wanted["path"]), wanted["target"]
        if os.path.lexists(path) and not path.is_symlink():
            self._refuse(path, "a link")
        if not self._module.check_mode and not (path.parent / target).exists():
            self._module.fail_json(msg=f"{path}: there is no {target} to link to.", paths=self.changed)
        if path.is_symlink() and str(path.readlink()) == target:
            return
        self._note(path)
        if not self._module.check_mode:
            new = path.with_name(f".new-{path.name}")
            new.unlink(missing_ok=True)
            new.symlink_to(target)
            new.replace(path)

    def absent(self, path: Path) -> None:
        """Remove a file or a link."""
        if os.path.lexists(path):
            self._remove(path, Path.unlink)

    def outdated(self, unit: str) -> bool:
        """Whether the unit's process started before the last change; False without a unit or a process."""
        command = ["systemctl", "show", "--property=ExecMainStartTimestamp", "--timestamp=us+utc", "--value", unit]
        started = self._module.run_command(command)[1].split() if unit else []  # such as Thu 2026-11-26 09:00:00.5 UTC
        if not started:
            return False
        moment = datetime.strptime(" ".join(started[1:3]), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc)
        return bool(self.changed) or self._newest > moment

    def _remove(self, path: Path, remove: Callable[[Path], None]) -> None:
        self._note(path)
        if not self._module.check_mode:
            remove(path)

    def _refuse(self, path: Path, kind: str) -> None:
        if str(path) in self.changed:  # in check mode it was not really removed
            return
        self._module.fail_json(msg=f"{path} is to be {kind}, and is something else: move it away.", paths=self.changed)

    def _replace(self, wanted: dict[str, str], content: bytes) -> None:
        path = Path(wanted["path"])
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        new = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # The mode is set before the file gets its name, so that a secret is never readable.
            self._set_attributes({**wanted, "path": name})
            complaint = self._complaint(wanted, name)
            if not complaint:
                new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        if complaint:
            self.changed.remove(wanted["path"])
            self._module.fail_json(msg=f"{path} is unchanged: {complaint}", paths=self.changed)

    def _complaint(self, wanted: dict[str, str], name: str) -> str:
        """Return why the command `validate` rejects the new content; empty if it accepts it."""
        command = [name if word == "%s" else word for word in shlex.split(wanted.get("validate") or "")]
        code, output, errors = self._module.run_command(command) if command else (0, "", "")
        return (errors or output or f"exit code {code}").replace(name, wanted["path"]).strip() if code else ""

    def _attributes(self, wanted: dict[str, str], path: Path) -> None:
        if self._set_attributes(wanted):
            self._note(path)

    def _set_attributes(self, wanted: dict[str, str]) -> bool:
        arguments = self._module.load_file_common_arguments(wanted)
        return bool(self._module.set_fs_attributes_if_different(arguments, changed=False))

    def _note(self, path: Path, contents: tuple[bytes, bytes] | None = None) -> None:
        if str(path) in self.changed:
            return
        self.changed.append(str(path))
        before, after = (each.decode(errors="replace").splitlines(keepends=True) for each in contents or (b"", b""))
        difference = [line if line.endswith("\n") else f"{line}\n" for line in difflib.unified_diff(before, after)]
        self.differences += [f"{path}\n", *difference]


class FilesModule(AnsibleModule):  # type: ignore[misc]  # Ansible has no types
    """Logs only the paths to the host's journal, not the contents."""

    def _log_invocation(self) -> None:
        wanted = [each["path"] for kind in ("directories", "trees", "files", "links") for each in self.params[kind]]
        self.log(f"Invoked for {' '.join([*wanted, *self.params['absent']])}")


def main() -> None:
    """Run the module."""
    module = FilesModule(
        argument_spec={
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {**ATTRIBUTES, "mode": {"type": "raw", "default": DIRECTORY_MODE}},
            },
            "trees": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **ATTRIBUTES,
                    "files": {"type": "dict", "required": True},
                    "keep": {"type": "list", "elements": "str", "default": ["__pycache__"]},
                },
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **ATTRIBUTES,
                    "mode": {"type": "raw", "default": FILE_MODE},
                    "content": {"type": "str", "required": True, "no_log": True},
                    "secret": {"type": "bool", "default": False, "no_log": False},
                    "validate": {"type": "str"},
                },
            },
            "links": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": ATTRIBUTES["path"], "target": {"type": "path", "required": True}},
            },
            "absent": {"type": "list", "elements": "path", "default": []},
            "read_by": {"type": "str", "default": ""},
            "digest_of": {"type": "path"},
        },
        supports_check_mode=True,
    )
    paths, path = PathManager(module), ""
    try:
        kinds = {"directories": paths.directory, "trees": paths.tree, "files": paths.file, "links": paths.link}
        with locked(module.params["digest_of"]) as top:
            for kind, manage in kinds.items():
                for wanted in module.params[kind]:
                    path = wanted["path"]
                    manage(wanted)
            for path in module.params["absent"]:
                paths.absent(Path(path))
            found = digest(top) if top else ""
    except OSError as error:
        module.fail_json(msg=f"{path}: {error.strerror}", paths=paths.changed)
    module.exit_json(
        changed=bool(paths.changed),
        paths=paths.changed,
        digest=found,
        outdated=paths.outdated(module.params["read_by"]),
        diff={"prepared": "".join(paths.differences)},
    )


if __name__ == "__main__":
    main()
