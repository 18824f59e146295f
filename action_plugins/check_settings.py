"""Ansible action: checks a role's variables on the controller, with the code that will read them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: check_settings
short_description: Checks a role's variables before anything changes
description:
  - Without options, checks that each variable has the type in C(meta/argument_specs.yml), and follows the rules for
    settings that no program of this project reads (C(settings_check/rules.py)).
  - With C(program), runs that program's own validation of its configuration.
  - Fails with one sentence for each wrong variable. Runs on the controller, without a connection.
options:
  program:
    description: The program that will read the configuration.
    type: str
    choices: [monitor, api, create-admin]
  reads:
    description: The configuration that the program will read, such as the content of a file.
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
    """Checks the variables of the task's role."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"program", "reads"})

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with a sentence for each wrong variable."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        complaints = self._complaints(task_vars or {})
        return result | {"changed": False} | ({"failed": True, "msg": "\n".join(complaints)} if complaints else {})

    def _complaints(self, variables: Mapping[str, Any]) -> list[str]:
        from settings_check import programs  # noqa: PLC0415  # importable only now
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
        """Return a variable's value, or the error of its template."""
        try:
            return self._templar.template(raw)
        except AnsibleError as error:
            return error
