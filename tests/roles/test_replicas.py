"""The default number of replicas."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("variables", "replicas"),
    [
        ('{"ansible_facts": {"memtotal_mb": 463}}', 1),
        ('{"ansible_facts": {"memtotal_mb": 700}}', 2),
        ('{"ansible_facts": {"memtotal_mb": 463}, "stack_api_replicas": 2}', 2),
        ("{}", 2),
    ],
)
def test_default_depends_on_memory(variables: str, replicas: int) -> None:
    defaults = [f"--extra-vars=@{ROOT}/roles/{role}/defaults/main.yml" for role in ("stack", "monitor")]
    command = ["ansible", "--inventory=localhost,", "--connection=local", *defaults, f"--extra-vars={variables}"]
    output = subprocess.check_output(
        [*command, "all", "--module-name=debug", "--args=var=monitor_api_replicas"],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"},
        text=True,
    )
    assert output.split()[-1] == str(replicas), output
