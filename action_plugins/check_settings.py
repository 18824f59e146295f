"""Ansible action: a role's variables are checked on the controller, with what will read them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: check_settings
short_description: Checks a role's variables before anything changes
description:
  - Without options, checks that each variable of the role is of the type that C(meta/argument_specs.yml) names, and
    keeps the rules for what no program of this project reads (C(settings_check/rules.py)).
  - With C(program), has that program's own code check what it is going to read.
  - Fails with one sentence for each wrong variable. It runs on the controller and opens no connection.
options:
  program:
    description: Who is going to read it.
    type: str
    choices: [monitor, api, create-admin]
  reads:
    description: What it is going to read, such as the content of a file.
    type: str
"""
EXAMPLES = r"""
- check_settings:

- check_settings:
    program: monitor
    reads: "{{ lookup('ansible.builtin.template', 'monitor.json.j2', convert_data=false) }}"
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[1]


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Checks the variables of the role that the task is in."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"program", "reads"})

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with all that is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        complaints = self._complaints(task_vars or {})
        return result | {"changed": False} | ({"failed": True, "msg": "\n".join(complaints)} if complaints else {})

    def _complaints(self, variables: Mapping[str, Any]) -> list[str]:
        from settings_check import programs  # noqa: PLC0415  # found there
        from settings_check.variables import complaints  # noqa: PLC0415

        role, arguments = self._task._role, self._task.args  # noqa: SLF001
        specification = self._loader.load_from_file(f"{role._role_path}/meta/argument_specs.yml")  # noqa: SLF001
        options = specification["argument_specs"]["main"]["options"]
        if "program" in arguments:
            return programs.PROGRAMS[arguments["program"]](arguments["reads"], options)
        values = {name: self._value(variables[name]) for name in options}
        missing = [
            f"{name} has no usable value: {each}" for name, each in values.items() if isinstance(each, Exception)
        ]
        return missing or complaints(role.get_name(), options, values)

    def _value(self, raw: object) -> object:
        """Return a variable's value, or why it has none."""
        try:
            return self._templar.template(raw)
        except AnsibleError as error:
            return error
