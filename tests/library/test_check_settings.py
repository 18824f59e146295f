"""The action plugin `check_settings`, run by Ansible as in `site.yml`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "S3cret-value-that-nobody-sees"


def preflight(directory: Path, role: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a role's preflight with these settings on the command line."""
    tasks = [{"ansible.builtin.include_role": {"name": role, "tasks_from": "preflight"}}]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    path = directory / "play.json"
    path.write_text(json.dumps(play))
    return subprocess.run(
        ["ansible-playbook", "--inventory", "localhost,", "--extra-vars", json.dumps(settings), str(path)],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"monitor_backoff": "soon"}, "monitor_backoff must be a whole number; it is 'soon'."),
        (
            {"monitor_alert_webhooks": [{"url": SECRET}], "monitor_backoff": "9"},
            "monitor_alert_webhooks[0].url must be a",
        ),
        ({"monitor_alert_telegram_token": "{{ vault_token }}"}, "monitor_alert_telegram_token has no usable value"),
    ],
)
def test_invalid_setting_is_reported_with_the_expected_value(
    tmp_path: Path, settings: dict[str, object], sentence: str
) -> None:
    done = preflight(tmp_path, "monitor", **settings)
    output = " ".join((done.stdout + done.stderr).replace("''", "'").split())
    assert done.returncode != 0
    assert sentence in output
    assert " changed=0 " in output
    assert SECRET not in output
