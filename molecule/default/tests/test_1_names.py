"""Names and paths that the user's documents give; each is exact."""

import pytest
from converged import API, API_2, DIRECTORY, MONITOR, MONITOR_LOG, inspect
from testinfra.host import Host


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "directory"),
        ("/docker-compose.stable.yml", "file"),
        ("/scripts/setup_stable.sh", "file"),
        ("/scripts/monitor_and_restart.sh", "file"),
        ("/scripts/cleaning-service-monitor.service", "file"),
        ("/data", "directory"),
        ("/data/cleaning_service_stable.db", "file"),
        ("/logs", "directory"),
        ("/app", "directory"),
        ("/app/main.py", "file"),
    ],
)
def test_path(host: Host, path: str, kind: str) -> None:
    found = host.file(DIRECTORY + path)
    assert found.is_directory if kind == "directory" else found.is_file


@pytest.mark.parametrize("script", ["setup_stable.sh", "monitor_and_restart.sh"])
def test_script_can_be_run(host: Host, script: str) -> None:
    assert host.file(f"{DIRECTORY}/scripts/{script}").mode == 0o755


@pytest.mark.parametrize(
    "setting",
    [
        "DATABASE_URL=sqlite:///./cleaning_service_stable.db",
        "REDIS_URL=redis://redis:6379",
        "EMAIL_VERIFICATION_REQUIRED=false",
        "REQUEST_TIMEOUT=30",
        "DATABASE_TIMEOUT=10",
        "REDIS_TIMEOUT=5",
    ],
)
@pytest.mark.parametrize("container", [API, API_2])
def test_setting_reaches_the_api(host: Host, container: str, setting: str) -> None:
    assert setting in inspect(host, container)["Config"]["Env"]


def test_environment_file_is_private(host: Host) -> None:
    env = host.file(f"{DIRECTORY}/.env")
    assert (env.user, env.mode) == ("root", 0o600)


def test_logs_of_each_replica(host: Host) -> None:
    for container in (API, API_2):
        lines = host.check_output(f"tail -n 3 {DIRECTORY}/logs/{container}.log").splitlines()
        assert all(line.startswith("{") for line in lines)


def test_monitor_unit_and_log(host: Host) -> None:
    assert host.service(MONITOR).is_running
    assert host.service(MONITOR).is_enabled
    assert host.file(MONITOR_LOG).size > 0


def test_monitor_checks_every_minute_and_gives_up_after_three_restarts(host: Host) -> None:
    config = host.check_output(f"cat {DIRECTORY}/monitor.json")
    assert '"check_interval": 60' in config
    assert '"attempts_before_full_restart": 3' in config
