"""The management commands of the user's documents, as written there, while the monitor watches."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from converged import (
    API,
    COMPOSE,
    CONTAINERS,
    DIRECTORY,
    MONITOR,
    MONITOR_LOG,
    ROOT,
    all_healthy,
    inspect,
    new_user,
    wait_until,
)
from testinfra.host import Host

OPERATIONS = ROOT / "docs/operations.md"
ROUNDS = int(os.environ.get("ROUNDS", "1"))
"""How often each command that stops something is given."""


@contextmanager
def undisturbed(host: Host) -> Iterator[None]:
    """See that a command ends without a cure or an alert, and that no container had to be killed for it."""
    host.check_output("cleaning-service-monitor resume")  # a release has left it quiet for a while
    line, began = host.check_output(f"wc -l < {MONITOR_LOG}; date +%s.%N").split()
    yield
    content = "cleaning-service-monitor status"
    took = wait_until(lambda: all_healthy(host) and host.run(content).rc == 0, 60, "all well after the command")
    said = host.check_output(f"tail -n +{int(line) + 1} {MONITOR_LOG}")
    assert not re.search("incident-opened|cure-started", said), said
    ours = " ".join(f"--filter container={container}" for container in CONTAINERS)
    codes = host.check_output(
        f"docker events --since {began} --until $(date +%s.%N) {ours} --filter event=die "
        "--format '{{.Actor.Attributes.exitCode}}'"
    ).split()
    print(f"\nall well {took:.1f} s after it; exit codes of containers: {' '.join(codes) or 'none'}")
    assert set(codes) <= {"0", "143"}


def test_compose_ps(host: Host) -> None:
    assert API in host.check_output(f"{COMPOSE} ps")


@pytest.mark.parametrize("_", range(ROUNDS))
def test_compose_restart(host: Host, _: int) -> None:
    before = inspect(host, API)["State"]["StartedAt"]
    with undisturbed(host):
        host.check_output(f"{COMPOSE} restart")
    assert inspect(host, API)["State"]["StartedAt"] != before


@pytest.mark.parametrize("_", range(ROUNDS))
def test_compose_down_and_up(host: Host, _: int) -> None:
    with undisturbed(host):
        host.check_output(f"{COMPOSE} down")
        assert host.check_output("docker ps --quiet --filter label=com.docker.compose.project=cleaning-service") == ""
        host.check_output(f"{COMPOSE} up -d")


@pytest.mark.parametrize("_", range(ROUNDS))
def test_docker_logs_and_restart(host: Host, _: int) -> None:
    assert '"event"' in host.check_output(f"docker logs --tail 5 {API}")
    with undisturbed(host):
        host.check_output(f"docker restart {API}")


@pytest.mark.parametrize("_", range(ROUNDS))
def test_monitor_restart(host: Host, _: int) -> None:
    before = host.service(MONITOR).systemd_properties["MainPID"]
    with undisturbed(host):
        host.check_output(f"systemctl restart {MONITOR}")
    assert host.service(MONITOR).systemd_properties["MainPID"] != before


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
    assert "a release was interrupted" in out
    assert inspect(host, API)["State"]["StartedAt"] == began


def test_copy_of_the_database(host: Host) -> None:
    host.check_output(f"cd {DIRECTORY} && cp data/cleaning_service_stable.db data/backup_20260101.db")
    assert host.file(f"{DIRECTORY}/data/backup_20260101.db").size > 0
    host.check_output(f"rm {DIRECTORY}/data/backup_20260101.db")


def test_a_safe_copy_and_its_way_back(host: Host, world: httpx.Client) -> None:
    """The commands of docs/operations.md, as written there: all is as it was when the copy was made."""
    section = re.search(
        r"^## Copy of the database$(.*?)^## ", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert section
    copy, _unsafe, put_back = re.findall(r"(?:^    .+\n)+", section[1], re.MULTILINE)
    earlier, later = new_user(), new_user()
    assert world.post("/api/v1/auth/register", json=earlier).status_code == 201
    assert host.check_output(copy).endswith(" bytes, checked")
    name = host.check_output(f"cd {DIRECTORY}/data && ls backup_*.db")
    assert world.post("/api/v1/auth/register", json=later).status_code == 201
    try:
        assert "restored: " in host.check_output(f"cd {DIRECTORY} && {put_back.replace('backup_….db', name)}")
        # Whoever is there already is refused.
        assert [world.post("/api/v1/auth/register", json=user).status_code for user in (earlier, later)] == [409, 201]
    finally:
        host.check_output(f"cd {DIRECTORY}/data && rm -rf backup_* set-aside")
