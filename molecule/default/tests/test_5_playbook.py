"""The playbook on a host that is as it should be, and on one that drifted a little."""

import re

import httpx
from converged import API, CONTAINERS, DIRECTORY, MONITOR, PROXY, inspect, playbook
from testinfra.host import Host

JOURNAL = "systemd-journald.service"
JOURNAL_SETTINGS = "/etc/systemd/journald.conf.d/50-cleaning-service.conf"


def test_check_mode_reports_nothing() -> None:
    run = playbook("--check", "--diff")
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
    secrets = host.check_output(f"sed -nE 's/^[A-Z_]*(KEY|TOKEN|PASSWORD)=(.+)/\\2/p' {DIRECTORY}/.env").splitlines()
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
