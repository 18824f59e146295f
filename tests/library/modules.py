"""Ways to run the Ansible modules of this project."""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).parents[2]


def run_module(
    name: str, wanted: Mapping[str, object], *, check: bool = False, diff: bool = False
) -> tuple[int, dict[str, Any]]:
    """Run a module in this process, with the arguments as Ansible passes them; return exit code and result."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "library" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = {**wanted, "_ansible_check_mode": check, "_ansible_diff": diff}
    output = io.StringIO()
    with (
        patch_module_args(arguments),
        contextlib.redirect_stdout(output),
        pytest.raises(SystemExit) as ended,
    ):
        module.main()
    answer: dict[str, Any] = json.loads(output.getvalue())
    return int(ended.value.code or 0), answer


def play_module(
    name: str, directory: Path, *arguments: str, wanted: Mapping[str, object]
) -> tuple[int, dict[str, Any]]:
    """Run a module with ansible-playbook, which takes seconds; return exit code and the module's result."""
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "tasks": [{name: wanted}],
        }
    ]
    path = directory / "play.json"
    path.write_text(json.dumps(play))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", "localhost,", *arguments, str(path)],
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LIBRARY": str(ROOT / "library"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return done.returncode, answer
