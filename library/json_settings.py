"""Ansible module: a few settings of ours in a JSON file that is not ours."""

from __future__ import annotations

DOCUMENTATION = r"""
module: json_settings
short_description: Sees to a few settings in a JSON file that belongs to somebody else too
description:
  - Adds settings that are missing, and leaves all others as they are. Where one is there with another value, and was
    not put there by this module, it fails and changes nothing.
  - What it has put there stands in a second file, the record. So a value of its own can be changed later, and those
    that are no longer wanted are removed, unless somebody has changed them since.
  - A file that says the same in other words is not written.
options:
  path:
    description: The file. A missing or an empty one has no settings.
    type: path
  record:
    description: The file in which it remembers its own settings; removed with the last of them.
    type: path
  read_by:
    description: A unit of systemd whose process reads the file when it starts.
    type: str
  settings:
    description:
      - Settings, each with C(key), C(value), and C(hint), which tells what to do about a contradiction besides removing
        the setting from the file.
      - One that is C(checked) is never added, and only must not be there with another value.
    type: list
    elements: dict
"""
EXAMPLES = r"""
- name: Keep containers alive over restarts of the engine
  json_settings:
    path: /etc/docker/daemon.json
    record: /etc/docker/example.json
    settings:
      - {key: live-restore, value: true, hint: set example_live_restore to false}
"""
RETURN = r"""
keys:
  description: The settings that were changed, or would have been.
  type: list
  elements: str
outdated:
  description: Whether the process of C(read_by) has started before the last change of a setting of ours.
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


class RefusedError(Exception):
    """The file cannot be used, or says something else; the message is a sentence."""


def main() -> None:
    """Do what the task says."""
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
        found, ours = read(path), read(record)
        wanted, kept = merge(found, ours, module.params["settings"], path)
        before, after = written(found), written(wanted)
        if not module.check_mode:
            if kept != ours:
                # First, so that nothing of ours is ever in the file without being known as ours.
                replace(module, record, written({**ours, **kept}))
            if wanted != found:
                replace(module, path, after if wanted else "")
            if kept != ours:
                replace(module, record, written(kept) if kept else "")
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    since = started(module, module.params["read_by"])
    changed = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    module.exit_json(
        changed=bool(changed) or kept != ours,
        keys=changed,
        outdated=since is not None and (bool(changed) or last_change(record) > since),
        diff={"before_header": str(path), "after_header": str(path), "before": before, "after": after},
    )


def started(module: AnsibleModule, unit: str) -> datetime | None:
    """Return since when a unit's process runs; nothing where none does."""
    command = ["systemctl", "show", "--property=ExecMainStartTimestamp", "--timestamp=us+utc", "--value", unit]
    said = module.run_command(command)[1].split() if unit else []  # such as Thu 2026-11-26 09:00:00.5 UTC
    if not said:
        return None
    return datetime.strptime(" ".join(said[1:3]), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc)


def last_change(record: Path) -> datetime:
    """Return when settings of ours were changed last: other changes of the file are not ours to bring into effect."""
    try:
        return datetime.fromtimestamp(record.stat().st_mtime, timezone.utc)
    except FileNotFoundError:
        return datetime.min.replace(tzinfo=timezone.utc)


def merge(
    found: Mapping[str, Any], ours: Mapping[str, Any], settings: Sequence[Mapping[str, Any]], path: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the file has to hold, and what of it is ours.

    Args:
        found: what the file holds.
        ours: what of it was put there by us.
        settings: what is wanted, as the module gets it.
        path: the file's name, for the message.

    Raises:
        RefusedError: the file says something else than is wanted.
    """
    # What somebody has changed since is no longer ours.
    owned = {key: value for key, value in ours.items() if key in found and found[key] == value}
    wanted = {key: value for key, value in found.items() if key not in owned}
    kept = {}
    complaints = []
    for setting in settings:
        key, value = setting["key"], setting["value"]
        if key in wanted:
            if wanted[key] != value:
                said, needed = json.dumps(wanted[key]), json.dumps(value)
                advice = f", or {setting['hint']}" if setting["hint"] else ""
                complaints.append(
                    f"{path} sets {key} to {said}, and this service needs {needed}: remove it there{advice}."
                )
        elif not setting["checked"]:
            kept[key] = value
    if complaints:
        raise RefusedError(" ".join(complaints))
    # In the order in which they are there; what is new comes last.
    merged = {**wanted, **kept}
    return {key: merged[key] for key in [*found, *(key for key in kept if key not in found)] if key in merged}, kept


def read(path: Path) -> dict[str, Any]:
    """Return the settings in a file.

    Raises:
        RefusedError: it is no JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RefusedError(f"{path} is not readable as text: mend it or move it away.") from error
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise RefusedError(f"{path} is no valid JSON ({error}): mend it or move it away.") from error
    if not isinstance(found, dict):
        raise RefusedError(f"{path} is no JSON object with settings: mend it or move it away.")
    return found


def written(settings: Mapping[str, Any]) -> str:
    """Return the text of a file with these settings."""
    return json.dumps(settings, indent=4, ensure_ascii=False) + "\n"


def replace(module: AnsibleModule, path: Path, text: str) -> None:
    """Write a file whole, with the owner and mode it has; or remove it where there is nothing to write."""
    if not text:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()  # it may be a link
    handle, new = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    module.atomic_move(new, str(target))


if __name__ == "__main__":
    main()
