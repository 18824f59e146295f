"""The faults, each injected for real on a test host.

A script prints the moment right before it acts (seconds since the epoch), so that the measure does not count the way of
the command into the host. Processes are looked up beforehand, for the same reason.
"""

from dataclasses import dataclass
from typing import Literal

from bench.recovery_host import API, PROXY, REDIS

_NOW = "date +%s.%N"
_HOLDER = (
    "import time; from pysqlite3 import dbapi2; "
    'c = dbapi2.connect("/data/cleaning_service_stable.db", timeout=10, isolation_level=None); '
    'c.execute("BEGIN IMMEDIATE"); print(time.time(), flush=True); time.sleep(3600)'
)
Proof = Literal["", "redis", "docker"]


@dataclass(frozen=True)
class Fault:
    """One way to break the service.

    Attributes:
        name: for the command line and the results.
        title: for a person.
        what: how it is done, in one sentence.
        script: bash; `{target}` is the API container that is meant. Prints the moment it acts.
        proof: what must be true besides good registrations, because those alone would not show the fault.
        of_the_check: it is seen by the monitor's full check alone, so the moment within its interval matters.
    """

    name: str
    title: str
    what: str
    script: str
    proof: Proof = ""
    of_the_check: bool = False


_ENGINE = "engine=$(systemctl show --value --property MainPID docker.service); "


def _pids(container: str) -> str:
    return f"pids=$(docker top {container} -eo pid | tail -n +2); "


FAULTS = [
    Fault(
        "crashed",
        "API crashed",
        "SIGKILL to the API's processes: for Docker the container ended by itself, so its restart policy applies",
        f"{_pids('{target}')}{_NOW}; kill -KILL $pids",
    ),
    Fault(
        "killed",
        "API killed",
        "`docker kill`: Docker takes this for the operator's wish and its restart policy leaves the container down",
        f"{_NOW}; docker kill {{target}} >/dev/null",
    ),
    Fault(
        "frozen",
        "API frozen",
        "SIGSTOP to all processes of the API: the container runs and answers nobody",
        f"{_pids('{target}')}{_NOW}; kill -STOP $pids",
    ),
    Fault(
        "registration-hangs",
        "only registration hangs",
        "a process in the API's container holds the database's write lock: reading and `/health` go on",
        f"(docker exec {{target}} /srv/venv/bin/python -c '{_HOLDER}' >/run/lock-holder 2>&1 &) ;"
        "until grep --max-count 1 '^[0-9]' /run/lock-holder; do sleep 0.02; done",
        of_the_check=True,
    ),
    Fault(
        "removed",
        "API container removed",
        "`docker rm --force`",
        f"{_NOW}; docker rm --force {{target}} >/dev/null",
    ),
    Fault(
        "redis-killed",
        "Redis killed",
        "`docker kill`; registrations go on without Redis, so the summary of the API's health must call it well again",
        f"{_NOW}; docker kill {REDIS} >/dev/null",
        proof="redis",
    ),
    Fault("proxy-killed", "proxy killed", "`docker kill`", f"{_NOW}; docker kill {PROXY} >/dev/null"),
    Fault(
        "proxy-frozen",
        "proxy frozen",
        "SIGSTOP to all processes of the proxy",
        f"{_pids(PROXY)}{_NOW}; kill -STOP $pids",
    ),
    Fault(
        "docker-frozen",
        "Docker frozen",
        "SIGSTOP to the engine: containers go on, and nothing can be done with them; the engine must answer again",
        f"{_ENGINE}{_NOW}; kill -STOP $engine",
        proof="docker",
    ),
    Fault(
        "docker-frozen-crash",
        "Docker frozen, then API crashed",
        "the same, and SIGKILL to the API's processes, which the frozen engine cannot restart",
        f"{_pids('{target}')}{_ENGINE}{_NOW}; kill -STOP $engine; kill -KILL $pids",
        proof="docker",
    ),
]


def target(replica: int) -> str:
    """The container of an API replica; counts from 1."""
    return API if replica == 1 else f"{API}_{replica}"
