"""The playbook on a host that is as it should be, and on one that drifted a little."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from converged import API, CONTAINERS, DIRECTORY, MONITOR, PROXY, ROOT, inspect, playbook
from testinfra.host import Host

JOURNAL = "systemd-journald.service"
JOURNAL_SETTINGS = "/etc/systemd/journald.conf.d/50-cleaning-service.conf"


def numbers_as_text() -> dict[str, str]:
    """Return every number, true and false of all roles' defaults, as `-e name=0` gives them."""
    found: dict[str, str] = {}
    for path in ROOT.glob("roles/*/defaults/main.yml"):
        found |= {
            name: str(value) for name, value in yaml.safe_load(path.read_text()).items() if isinstance(value, int)
        }
    return found | {"monitor_clock_check": "false"}  # as the test hosts' inventory has it


def test_check_mode_reports_nothing_with_every_number_as_text() -> None:
    run = playbook("--check", "--diff", "--extra-vars", json.dumps(numbers_as_text()))
    assert run.returncode == 0, run.stdout
    assert re.search(r"changed=0 .*failed=0", run.stdout), run.stdout
    assert "+++" not in run.stdout


def test_a_setting_restarts_what_it_touches_and_nothing_else(host: Host) -> None:
    before = {container: inspect(host, container)["State"]["StartedAt"] for container in CONTAINERS}
    secrets = host.check_output(f"grep -E 'KEY|TOKEN|PASSWORD' {DIRECTORY}/.env")
    run = playbook("--extra-vars", "stack_proxy_email=office@example.com")
    assert run.returncode == 0, run.stdout
    after = {container: inspect(host, container)["State"]["StartedAt"] for container in CONTAINERS}
    assert {container for container in CONTAINERS if before[container] != after[container]} == {PROXY}
    assert host.check_output(f"grep -E 'KEY|TOKEN|PASSWORD' {DIRECTORY}/.env") == secrets


def test_no_secret_is_in_the_journal(host: Host) -> None:
    """Ansible tells it about each step."""
    settings = host.check_output(f"cat {DIRECTORY}/.env")
    secrets = re.findall(r"^[A-Z_]*(?:KEY|TOKEN|PASSWORD)='?([^'\n]+)", settings, re.MULTILINE)
    assert len(secrets) >= 3
    journal = host.check_output("journalctl --no-pager --all")
    assert f"Invoked for {DIRECTORY}/wanted/pages {DIRECTORY}/wanted/env" in journal
    assert not any(secret in journal for secret in secrets)


def test_a_manager_changed_file_comes_back(host: Host, world: httpx.Client) -> None:
    host.check_output(f"sed -i s/REQUEST_TIMEOUT=30/REQUEST_TIMEOUT=3000/ {DIRECTORY}/.env")
    # What runs has not read what is on the disk. An earlier run may have been interrupted, hence the mere `touch`.
    host.check_output(f"systemctl disable {MONITOR} && echo >>{DIRECTORY}/scripts/cleaning_service_host/__init__.py")
    host.check_output(f"touch {JOURNAL_SETTINGS}")
    before = {unit: host.service(unit).systemd_properties["MainPID"] for unit in (MONITOR, JOURNAL)}
    run = playbook("--tags", "always,baseline,stack,monitor")
    assert run.returncode == 0, run.stdout
    assert "REQUEST_TIMEOUT=30" in inspect(host, API)["Config"]["Env"]
    assert world.get("/health").status_code == 200
    assert host.service(MONITOR).is_enabled
    assert host.service(MONITOR).is_running
    after = {unit: host.service(unit).systemd_properties["MainPID"] for unit in (MONITOR, JOURNAL)}
    assert [unit for unit in before if before[unit] == after[unit]] == []


def monitor_process(host: Host) -> str:
    """Return the number of the monitor's process."""
    return str(
        host.check_output(f"systemctl is-active {MONITOR} && systemctl show --property MainPID --value {MONITOR}")
    )


def test_a_wrong_setting_of_the_monitor_stops_the_run_and_not_the_monitor(host: Host) -> None:
    before = monitor_process(host)
    run = playbook("--tags", "always,monitor", "--extra-vars", "monitor_backoff=999")
    assert run.returncode != 0
    assert "monitor_backoff must be a number of seconds from 0 to 300, not 999." in run.stdout
    assert " changed=0 " in run.stdout
    assert monitor_process(host) == before


@pytest.fixture
def broken_monitor(host: Host) -> Iterator[None]:
    """A monitor that ends as soon as it starts, again and again."""
    directory = f"/run/systemd/system/{MONITOR}.d"
    host.check_output(f"mkdir -p {directory}")
    host.check_output(f"printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' > {directory}/broken.conf")
    host.check_output(f"systemctl daemon-reload && systemctl restart --no-block {MONITOR}")
    yield
    host.check_output(f"rm -r {directory} && systemctl daemon-reload && systemctl restart {MONITOR}")


@pytest.mark.usefixtures("broken_monitor")
def test_a_run_that_has_not_seen_the_monitor_watch_fails() -> None:
    run = playbook("--tags", "always,monitor")
    assert run.returncode != 0
    assert "The monitor does not watch" in run.stdout
    assert "Main process exited" in run.stdout


def test_settings_that_the_api_refuses_touch_no_container(host: Host) -> None:
    """As when it was edited on the host: the new image reads what is prepared before anything is replaced."""
    wanted = f"{DIRECTORY}/wanted/env"
    before = {container: inspect(host, container)["State"]["StartedAt"] for container in CONTAINERS}
    host.check_output(f"cp --preserve {wanted} /root/env && sed -i s/^SMTP_PORT=.*/SMTP_PORT=70000/ {wanted}")
    try:
        run = host.run("cleaning-service-release apply")
    finally:
        host.check_output(f"mv /root/env {wanted}")
    assert run.rc == 10, run.stdout
    assert "SMTP_PORT: " in run.stderr
    assert "write a whole number from 1 to 65535" in run.stderr
    assert {container: inspect(host, container)["State"]["StartedAt"] for container in CONTAINERS} == before
    assert host.file(f"{DIRECTORY}/.env").contains("^SMTP_PORT=587$")
    host.check_output("cleaning-service-release apply")  # nothing is left of the failure
