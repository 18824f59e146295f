"""What a converged host takes in memory: the proportional set size (PSS) of all its processes, by program.

`python -m bench.memory [HOST]`: HOST is a test host, the demo host if left out. PSS counts a page that several
processes share in equal parts, so that the sum is what is taken. It includes pages of program files, which the kernel
can drop when memory is short; `anonymous` is the rest. Ends with an error when a target is missed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.demo import HOST
from bench.report import Verdict

SETTLE = 60.0  # seconds before the measurement in which nothing is changed
SAMPLES, PAUSE = 5, 7.0  # and seconds between them: each canary of the monitor takes 20 MB for a second
TARGETS = {1: 380.0, 2: 520.0}
"""MB in all, for so many replicas."""

# Runs on the host.
_SAMPLER = """
import json, os
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        name = open(f"/proc/{pid}/comm").read().strip()
        arguments = open(f"/proc/{pid}/cmdline").read().split("\\0")
        lines = open(f"/proc/{pid}/smaps_rollup").read().splitlines()
    except OSError:
        continue  # it has ended, or is the kernel's
    fields = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    found.append([name, arguments, fields["Pss:"] / 1024, fields.get("Pss_Anon:", 0) / 1024])
print(json.dumps(found))
"""
REPLICA = "replica of the API"
_ARGUMENTS: dict[tuple[str, ...], str] = {
    ("-m", "app", "serve"): REPLICA,
    ("-m", "cleaning_service_monitor", "run"): "monitor",
}
_NAMES = {
    "caddy": "proxy",
    "containerd-shim": "shim of a container",
    "docker-init": "init of a container",
    "redis-server": "Redis",
    "systemd": "systemd and its daemons",
}
"""How names of processes begin."""


@dataclass(frozen=True)
class Row:
    """A program: how many processes, and their PSS in MB (1024 KiB), in all and of memory that is no file's."""

    program: str
    processes: int
    total: float
    anonymous: float


def program(name: str, arguments: Sequence[str]) -> str:
    """Return the table's word for a process."""
    by_name = next((word for beginning, word in _NAMES.items() if name.startswith(beginning)), name)
    return _ARGUMENTS.get(tuple(arguments[1:4]), by_name)


def measure(host: str) -> list[Row]:
    """Read the memory of a host's processes, the largest program first.

    Raises:
        SystemExit: there is no such host.
    """
    command = ["docker", "exec", "--interactive", host, "python3", "-"]
    done = subprocess.run(command, input=_SAMPLER, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        sys.exit(f"{host} is no test host that runs: {done.stderr.strip()}")
    found: dict[str, list[tuple[float, float]]] = {}
    for name, arguments, pss, anonymous in json.loads(done.stdout):
        found.setdefault(program(name, arguments), []).append((pss, anonymous))
    rows = [
        Row(word, len(each), sum(pss for pss, _ in each), sum(anonymous for _, anonymous in each))
        for word, each in found.items()
    ]
    return sorted(rows, key=lambda row: -row.total)


def table(rows: Sequence[Row]) -> str:
    """Write the rows and their sum."""
    processes = sum(row.processes for row in rows)
    everything = Row("in all", processes, sum(row.total for row in rows), sum(row.anonymous for row in rows))
    lines = [f"{'program':<24} {'processes':>9} {'PSS, MB':>9} {'anonymous':>9}"]
    lines += [
        f"{row.program:<24} {row.processes:>9} {row.total:>9.1f} {row.anonymous:>9.1f}" for row in (*rows, everything)
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit code."""
    host = arguments[0] if arguments else HOST
    time.sleep(SETTLE)
    samples = []
    for _ in range(SAMPLES):
        samples.append(measure(host))
        time.sleep(PAUSE)
    rows = sorted(samples, key=lambda sample: sum(row.total for row in sample))[SAMPLES // 2]
    print(f"{host}, the median of {SAMPLES} samples")
    print(table(rows))
    verdict = Verdict()
    replicas = sum(row.processes for row in rows if row.program == REPLICA)
    if replicas in TARGETS:
        verdict.below(f"MB with {replicas} replica(s)", sum(row.total for row in rows), TARGETS[replicas])
    else:
        print(f"no target for {replicas} replicas")
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
