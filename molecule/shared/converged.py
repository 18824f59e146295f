"""What the tests of a converged host share: its names, and ways to look at it and to act on it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ROOT = Path(__file__).parents[2]
HOST = os.environ.get("TEST_HOST", "cleaning-service-test")  # set by a scenario whose host has another name
DIRECTORY = "/opt/fastapi-backend"
COMPOSE = f"docker-compose -f {DIRECTORY}/docker-compose.stable.yml"
API = "cleaning_service_api_stable"
API_2 = "cleaning_service_api_stable_2"
ASK_API = f"--unix-socket {DIRECTORY}/run/{API}.sock http://api"
"""For curl on the host: the first replica itself."""
REDIS = "cleaning_service_redis_stable"
PROXY = "cleaning_service_proxy_stable"
CONTAINERS = (API, API_2, REDIS, PROXY)
MONITOR = "cleaning-service-monitor.service"
MONITOR_LOG = "/var/log/cleaning_service_monitor.log"


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until `condition` holds and return how long that took; fail after `seconds`, naming `what`."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(0.5)
    pytest.fail(f"not within {seconds} s: {what}")


def address() -> str:
    """Return the host's address on this machine's Docker network."""
    out = subprocess.check_output(
        ["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", HOST],
        text=True,
    )
    return out.strip()


def inspect(host: Host, container: str) -> dict[str, Any]:
    """Return what Docker says of a container."""
    found: dict[str, Any] = json.loads(host.check_output(f"docker inspect {container}"))[0]
    return found


def healthy(host: Host, container: str) -> bool:
    """Tell whether Docker calls the container healthy and running; False where there is none."""
    run = host.run(f"docker inspect --format '{{{{.State.Status}}}} {{{{.State.Health.Status}}}}' {container}")
    return bool(run.stdout.strip() == "running healthy")


def all_healthy(host: Host) -> bool:
    """Tell whether every container of the stack is healthy."""
    return all(healthy(host, container) for container in CONTAINERS)


def seed(host: Host) -> str:
    """Fill the empty database with a small company, unless it is there; returns what was said."""
    return _in_api_image(host, "seed")


def start_anew(host: Host) -> None:
    """Have nothing but that small company in the database, whatever another scenario has left in it."""
    host.check_output("cleaning-service-monitor pause 5m --reason 'another database'")
    # Redis remembers what the other company offered.
    host.check_output(f"{COMPOSE} stop && rm -rf {DIRECTORY}/data/cleaning_service_stable.db* {DIRECTORY}/redis/data/*")
    _in_api_image(host, "migrate --create")
    seed(host)
    host.check_output(f"{COMPOSE} up --detach --wait --wait-timeout 90")
    host.check_output("cleaning-service-monitor resume")


def _in_api_image(host: Host, command: str) -> str:
    return str(host.check_output(f"{COMPOSE} run --rm --no-deps --no-TTY --env LOG_FILE= api {command}"))


def new_user() -> dict[str, str]:
    """Return the body of a registration nobody has sent yet."""
    return {
        "email": f"user-{secrets.token_hex(6)}@example.com",
        "password": "correct horse battery staple",
        "full_name": "Test User",
    }


def playbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run site.yml against the test host, as the operator would."""
    return subprocess.run(
        [
            "ansible-playbook",
            "--inventory",
            str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent),
            *arguments,
            "site.yml",
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def freeze(host: Host, container: str) -> None:
    """Stop all processes of a container with SIGSTOP: it goes on running for Docker, and answers nobody."""
    host.check_output(f"kill -STOP $(docker top {container} -eo pid | tail -n +2)")


def process(host: Host, container: str) -> int:
    """Return the number, on the host, of the program in a container; its first process only looks after it."""
    init = inspect(host, container)["State"]["Pid"]
    return int(host.check_output(f"cat /proc/{init}/task/{init}/children").split()[0])


def hold_threads(host: Host, container: str, which: str) -> None:
    """Hold some threads of the program in a container until it is restarted; `which` stands in hold_threads.py."""
    script = Path(__file__).with_name("hold_threads.py").read_bytes()
    target = "/root/hold_threads.py"
    subprocess.run(["docker", "exec", "-i", HOST, "tee", target], input=script, stdout=subprocess.DEVNULL, check=True)
    host.check_output(f"systemd-run --collect --unit hold-{which} python3 {target} {process(host, container)} {which}")
    wait_until(lambda: "holding" in host.run(f"journalctl --unit hold-{which}").stdout, 10, f"{which} threads held")
