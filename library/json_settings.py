"""Ansible module: manages a few settings in a JSON file that has other owners too."""

from __future__ import annotations

DOCUMENTATION = r"""
module: json_settings
short_description: Manages a few settings in a shared JSON file
description:
  - Adds missing settings, and leaves all others as they are. If a setting has another value that this module did not
    write, it fails and changes nothing.
  - A second file, the record, lists the settings that this module has written. They can be changed later, and are
    removed when no longer wanted, unless they were edited since.
  - A file with the same settings in another format is not rewritten.
options:
  path:
    description: The JSON file. A missing or empty file has no settings.
    type: path
  record:
    description: The file that lists this module's settings; removed with the last of them.
    type: path
  read_by:
    description: The systemd unit whose process reads the file when it starts.
    type: str
  settings:
    description:
      - Settings, each with C(key), C(value), and C(hint), which says how to resolve a conflict other than by removing
        the setting from the file.
      - A setting with C(checked) is never added. It only must not have another value.
    type: list
    elements: dict
"""
EXAMPLES = r"""
- name: Keep containers running while the engine restarts
  json_settings:
    path: /etc/docker/daemon.json
    record: /etc/docker/example.json
    settings:
      - {key: live-restore, value: true, hint: set example_live_restore to false}
"""
RETURN = r"""
keys:
  description: The settings that were changed, or would be in check mode.
  type: list
  elements: str
outdated:
  description: Whether the process of C(read_by) started before the last change by this module.
  type: bool
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class ConflictError(Exception):
    """The file is invalid or has a conflicting setting; the message is a sentence."""


def main() -> None:
    """Run the module."""
    setting = {
        "key": {"type": "str", "required": True, "no_log": False},
        "value": {"type": "raw", "required": True},
        "hint": {"type": "str", "default": ""},
        "checked": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
            "read_by": {"type": "str", "default": ""},
            "settings": {"type": "list", "elements": "dict", "options": setting, "required": True},
        },
        supports_check_mode=True,
    )
    path, record = (Path(module.params[name]) for name in ("path", "record"))
    try:
        found, recorded = read(path), read(record)
        wanted, managed = merge(found, recorded, module.params["settings"], path)
        before, after = serialize(found), serialize(wanted)
        if not module.check_mode:
            if managed != recorded:
                # Written first, so that after a crash each setting of this module is in the record.
                replace(module, record, serialize({**recorded, **managed}))
            if wanted != found:
                replace(module, path, after if wanted else "")
            if managed != recorded:
                replace(module, record, serialize(managed) if managed else "")
    except ConflictError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    started = process_start(module, module.params["read_by"])
    changed = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    module.exit_json(
        changed=bool(changed) or managed != recorded,
        keys=changed,
        outdated=started is not None and (bool(changed) or last_change(record) > started),
        diff={"before_header": str(path), "after_header": str(path), "before": before, "after": after},
    )


def process_start(module: AnsibleModule, unit: str) -> datetime | None:
    """Return when a unit's process started, or None if it does not run."""
    command = ["systemctl", "show", "--property=ExecMainStartTimestamp", "--timestamp=us+utc", "--value", unit]
    words = module.run_command(command)[1].split() if unit else []  # such as Thu 2026-11-26 09:00:00.5 UTC
    if not words:
        return None
    return datetime.strptime(" ".join(words[1:3]), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc)


def last_change(record: Path) -> datetime:
    """Return the time of this module's last change. Changes by others do not need a restart from us."""
    try:
        return datetime.fromtimestamp(record.stat().st_mtime, timezone.utc)
    except FileNotFoundError:
        return datetime.min.replace(tzinfo=timezone.utc)


def merge(
    found: Mapping[str, Any], recorded: Mapping[str, Any], settings: Sequence[Mapping[str, Any]], path: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the file's new content, and the part of it that this module manages.

    Args:
        found: the file's current content.
        recorded: the record: settings that this module has written.
        settings: the module's option `settings`.
        path: the file's path, for the message.

    Raises:
        ConflictError: the file has conflicting settings.
    """
    # A setting that was edited since is no longer managed.
    owned = {key: value for key, value in recorded.items() if key in found and found[key] == value}
    wanted = {key: value for key, value in found.items() if key not in owned}
    managed = {}
    complaints = []
    for setting in settings:
        key, value = setting["key"], setting["value"]
        if key in wanted:
            if wanted[key] != value:
                current, needed = json.dumps(wanted[key]), json.dumps(value)
                advice = f", or {setting['hint']}" if setting["hint"] else ""
                complaints.append(
                    f"{path} sets {key} to {current}, and this service needs {needed}: remove it there{advice}."
                )
        elif not setting["checked"]:
            managed[key] = value
    if complaints:
        raise ConflictError(" ".join(complaints))
    # Keep the file's order; new settings come last.
    merged = {**wanted, **managed}
    return {
        key: merged[key] for key in [*found, *(key for key in managed if key not in found)] if key in merged
    }, managed


def read(path: Path) -> dict[str, Any]:
    """Return the settings in a file.

    Raises:
        ConflictError: the file is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConflictError(f"{path} is not a text file: correct it or move it away.") from error
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise ConflictError(f"{path} is not valid JSON ({error}): correct it or move it away.") from error
    if not isinstance(found, dict):
        raise ConflictError(f"{path} is not a JSON object: correct it or move it away.")
    return found


def serialize(settings: Mapping[str, Any]) -> str:
    """Return settings as the text of a file."""
    return json.dumps(settings, indent=4, ensure_ascii=False) + "\n"


def replace(module: AnsibleModule, path: Path, text: str) -> None:
    """Replace a file atomically, keeping its owner and mode; remove it if the text is empty."""
    if not text:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()  # the path may be a link
    handle, new = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    module.atomic_move(new, str(target))


if __name__ == "__main__":
    main()
