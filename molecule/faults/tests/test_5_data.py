"""Faults of the data: no room for it, and a stranger who does not let go of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from converged import API, API_2, COMPOSE, DIRECTORY, MONITOR, inspect, wait_until
from testinfra.host import Host
from trial import Trial, fail_without

DATA = f"{DIRECTORY}/data"
STATE = "/var/lib/cleaning-service-monitor"
SMALL = "/mnt/small"
SIZE = "64m"  # of the small disk; it is memory, so nothing but itself can be filled
BALLAST = f"{SMALL}/ballast"
MOST_CURES = 2  # one of them may clean up; more would be a loop
LOCK = (
    "import pysqlite3.dbapi2 as s, time; "
    "c = s.connect('cleaning_service_stable.db', timeout=20, isolation_level=None); "
    "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(30)"
)


@pytest.fixture
def small_disk(host: Host) -> Iterator[None]:
    """The data and the monitor's own state on a small disk of their own, which a test may fill."""
    still(
        host,
        f"mkdir {SMALL} && mount -t tmpfs -o size={SIZE},mode=755 tmpfs {SMALL}",
        *(f"cp --archive {path} {SMALL}/ && mount --bind {SMALL}/{Path(path).name} {path}" for path in (DATA, STATE)),
    )
    yield
    still(
        host,
        *(
            f"umount {path} && rm --recursive {path}/* && cp --archive {SMALL}/{Path(path).name}/. {path}/"
            for path in (DATA, STATE)
        ),
        f"umount {SMALL} && rmdir {SMALL}",
    )


def still(host: Host, *commands: str) -> None:
    """Run commands while neither the stack nor the monitor runs."""
    host.check_output("cleaning-service-monitor pause 10m --reason 'the data moves'")
    host.check_output(f"{COMPOSE} down")
    host.check_output(f"systemctl stop {MONITOR}")
    for command in commands:
        host.check_output(command)
    host.check_output(f"systemctl start {MONITOR}")
    host.check_output(f"{COMPOSE} up --detach --wait")
    host.check_output("cleaning-service-monitor resume")


@pytest.mark.usefixtures("small_disk")
def test_data_disk_full_then_freed(host: Host, trial: Trial) -> None:
    """No cure can help but room: the API is left alone, and all is well as soon as there is some."""
    trial.undo = [f"rm -f {BALLAST}"]
    trial.inject(f"cat /dev/zero > {BALLAST} || true")
    fail_without(host.check_output(f"df --output=avail {DATA} | tail -n 1").strip() == "0", "there is room")
    full = trial.incident("disk", r"full|free|space|room", within=120)
    problem = trial.receiver.wait_for(full.details["id"], "problem", 30)
    assert problem, "no alert while the disk is full"
    wait_until(lambda: "503" in trial.outcomes(), 60, "writes refused")
    host.run("sleep 30")
    assert len(trial.events("cure-started")) <= MOST_CURES
    trial.mended(f"rm {BALLAST}")
    trial.await_well(90)
    trial.judge([full])


def test_database_locked_by_a_stranger(host: Host, trial: Trial) -> None:
    """For 30 s another program holds the write lock: writes are refused in time, then all is as before."""
    image = inspect(host, API)["Config"]["Image"]
    run = (
        f"docker run --rm --detach --name stranger --network none --volume {DATA}:/data"
        f' --entrypoint /srv/venv/bin/python {image} -c "{LOCK}"'
    )
    trial.undo = ["docker rm --force stranger"]
    trial.inject(run)
    wait_until(lambda: "locked" in host.run("docker logs stranger").stdout, 10, "the lock in a stranger's hands")
    opened = trial.incident("api|api_2", r"refuses writes", within=40)
    wait_until(lambda: host.run("docker inspect stranger").rc != 0, 60, "the stranger gone")
    trial.await_well(120)
    trial.judge([opened])
    assert not trial.restarted() & {API, API_2}, "a restart of the API does not help against a stranger"
