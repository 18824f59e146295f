"""What a watcher itself costs on a calm host: processor time and memory of its process and all its children."""

import json
import time

from bench.recovery_host import MONITOR, Host
from bench.recovery_results import Cost
from bench.recovery_setups import Setup

_SETTLE = 30.0  # seconds after its start, which is not what is asked here

# Runs on the host. Children that have ended are in the parent's own account once it has waited for them.
_SAMPLER = """
import json, os, sys, time
main, seconds = sys.argv[1], float(sys.argv[2])
tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")

def processes():
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[pid] = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1]
        except OSError:
            pass
    family = [main]
    for pid in family:
        family += [child for child, parent in parents.items() if parent == pid]
    return family

def used():
    fields = open(f"/proc/{main}/stat").read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / tick

def resident():
    total = 0
    for pid in processes():
        try:
            total += int(open(f"/proc/{pid}/statm").read().split()[1]) * page
        except OSError:
            pass
    return total

before, begun, peak = used(), time.monotonic(), 0
while time.monotonic() < begun + seconds:
    peak = max(peak, resident())
    time.sleep(0.5)
print(json.dumps({"cpu": (used() - before) / (time.monotonic() - begun), "memory": peak / 1e6}))
"""


def measure_cost(host: Host, setups: list[Setup], version: dict[str, str], seconds: float) -> list[Cost]:
    """Measure the watchers one after the other, each over `seconds`."""
    costs = []
    for setup in setups:
        host.arrange(setup.replicas)
        host.clean(hard=False)
        setup.start(host)
        time.sleep(_SETTLE)
        unit = MONITOR if setup.monitor else "monit.service"
        main = host.sh(f"systemctl show --value --property MainPID {unit}").strip()
        host.write("/run/sampler.py", _SAMPLER)
        said = json.loads(host.sh(f"python3 /run/sampler.py {main} {seconds}", timeout=seconds + 60))
        costs.append(
            Cost(setup.name, seconds, round(said["cpu"], 5), round(said["memory"], 1), version.get(setup.name, ""))
        )
    return costs
