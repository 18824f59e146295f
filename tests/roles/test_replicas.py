"""How many replicas a host gets."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("said", "replicas"),
    [
        ('{"ansible_facts": {"memtotal_mb": 463}}', 1),
        ('{"ansible_facts": {"memtotal_mb": 700}}', 2),
        ('{"ansible_facts": {"memtotal_mb": 463}, "stack_api_replicas": 2}', 2),
        ("{}", 2),
    ],
)
def test_a_host_of_little_memory_gets_one_unless_more_are_asked_for(said: str, replicas: int) -> None:
    defaults = [f"--extra-vars=@{ROOT}/roles/{role}/defaults/main.yml" for role in ("stack", "monitor")]
    command = ["ansible", "--inventory=localhost,", "--connection=local", *defaults, f"--extra-vars={said}"]
    shown = subprocess.check_output(
        [*command, "all", "--module-name=debug", "--args=var=monitor_api_replicas"],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"},
        text=True,
    )
    assert shown.split()[-1] == str(replicas), shown
