"""The management commands of the user's documents, as written there."""

import pytest
from converged import API, COMPOSE, DIRECTORY, MONITOR, MONITOR_LOG, all_healthy, inspect, wait_until
from testinfra.host import Host


def test_compose_ps(host: Host) -> None:
    assert API in host.check_output(f"{COMPOSE} ps")


def test_compose_restart(host: Host) -> None:
    before = inspect(host, API)["State"]["StartedAt"]
    host.check_output(f"{COMPOSE} restart")
    assert inspect(host, API)["State"]["StartedAt"] != before
    wait_until(lambda: all_healthy(host), 60, "everything healthy after compose restart")


def test_compose_down_and_up(host: Host) -> None:
    host.check_output("cleaning-service-monitor pause 5m --reason test")
    host.check_output(f"{COMPOSE} down")
    assert host.check_output("docker ps --quiet --filter label=com.docker.compose.project=cleaning-service") == ""
    host.check_output(f"{COMPOSE} up -d")
    wait_until(lambda: all_healthy(host), 60, "everything healthy after compose up")
    host.check_output("cleaning-service-monitor resume")


def test_docker_logs_and_restart(host: Host) -> None:
    assert '"event"' in host.check_output(f"docker logs --tail 5 {API}")
    host.check_output(f"docker restart {API}")
    wait_until(lambda: all_healthy(host), 60, "everything healthy after docker restart")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"systemctl status {MONITOR}", "active (running)"),
        (f"timeout 2 journalctl -u {MONITOR} -f || test $? = 124", "monitor"),
        (f"timeout 2 tail -f {MONITOR_LOG} || test $? = 124", ""),
    ],
)
def test_monitor_commands(host: Host, command: str, expected: str) -> None:
    assert expected in host.check_output(command)


def test_monitor_restart(host: Host) -> None:
    before = host.service(MONITOR).systemd_properties["MainPID"]
    host.check_output(f"systemctl restart {MONITOR}")
    assert host.service(MONITOR).is_running
    assert host.service(MONITOR).systemd_properties["MainPID"] != before


def test_setup_script(host: Host) -> None:
    out = host.check_output(f"cd {DIRECTORY} && ./scripts/setup_stable.sh")
    assert "The service is up" in out


def test_setup_script_leaves_an_interrupted_release_as_it_is(host: Host) -> None:
    """Nobody has seen whether the files work that are in place; all that runs would be replaced at once."""
    began = inspect(host, API)["State"]["StartedAt"]
    host.check_output(f"cd {DIRECTORY} && cp -p .env /root/env && echo LOG_LEVEL=debug >>.env")
    host.check_output(f"touch {DIRECTORY}/releases/under-way.json")
    try:
        out = host.check_output(f"cd {DIRECTORY} && ./scripts/setup_stable.sh")
    finally:
        host.check_output(f"cd {DIRECTORY} && mv /root/env .env && rm releases/under-way.json")
    assert "A release was interrupted" in out
    assert inspect(host, API)["State"]["StartedAt"] == began


def test_copy_of_the_database(host: Host) -> None:
    host.check_output(f"cd {DIRECTORY} && cp data/cleaning_service_stable.db data/backup_20260101.db")
    assert host.file(f"{DIRECTORY}/data/backup_20260101.db").size > 0
    host.check_output(f"rm {DIRECTORY}/data/backup_20260101.db")
