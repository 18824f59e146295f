"""How long the service is away after a fault, by who watches it.

`python -m bench.recovery` (`make bench-recovery`): injects faults into test hosts, and takes the time from the fault to
the third good registration in a row through the proxy. Each run is kept in `.cache/recovery/runs.jsonl`, so what was
cut off goes on where it was. With `--publish`, docs/recovery.md gets the figures and the plot.
"""

import argparse
import datetime
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.recovery_client import Client, third_in_a_row
from bench.recovery_cost import measure_cost
from bench.recovery_faults import FAULTS, Fault, target
from bench.recovery_host import ROOT, WORK, Host, HostError, make_hosts, remove_hosts, wait_until_old
from bench.recovery_report import DATA, publish, tables, verdicts
from bench.recovery_results import Results, Run
from bench.recovery_setups import MONIT_CONFIGURATION, MONIT_CURE, SETUPS, Setup

SEED = 4
STRATA = 10  # the moments of this many runs are spread evenly over the watcher's period
SETTLE = 6.0  # seconds that a watcher has before the earliest moment of a fault
UPTIME = 12.0  # seconds that every container has run then
GIVE_UP_AFTER = 3  # runs in a row that ended in `never`, where the set-up cannot cure the fault by construction
WARM_UP = 20.0  # seconds until registrations must be good before a fault
POLL = 0.1  # seconds
HEALTHY = 15.0  # seconds until every container is healthy after a recovery, or the host is made clean from scratch
AFTERWARDS = 4.0  # seconds in which a replica that is back must lose nothing
LOOK = 0.5  # seconds between two looks at Docker on the host
WATCHED_FOR_COST = ("monit-10", "monitor-1")
ATTEMPTS = 3  # at one run that the host, not the set-up, spoils


@dataclass
class Work:
    """What is still to be measured, shared by the threads that have a host each."""

    runs: int
    setups: list[Setup]
    faults: list[Fault]
    results: Results
    _taken: set[tuple[str, str, int]] = field(default_factory=set)
    _running: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, replicas: int) -> tuple[Setup, Fault, int] | None:
        """The next run for a host with this number of replicas.

        Side by side, set-ups that mostly wait share the machine's cores with those that do not.
        """
        with self._lock:
            left = [
                (setup, fault, run)
                for setup in sorted(self.setups, key=lambda each: self._running[each.name])
                if setup.replicas == replicas
                for run in range(self.runs)
                for fault in self.faults  # not all hosts the same at the same time: some faults cost computing
                if (setup.name, fault.name, run) not in self._taken and self._wanted(setup, fault, run)
            ]
            if not left:
                return None
            setup, fault, run = left[0]
            self._taken.add((setup.name, fault.name, run))
            self._running[setup.name] += 1
            return left[0]

    def ended(self, setup: Setup) -> None:
        """A run that was taken has ended."""
        with self._lock:
            self._running[setup.name] -= 1

    def done(self, replicas: int | None = None) -> bool:
        """Whether nothing is left to measure, with this number of replicas or at all."""
        return not any(
            self._wanted(setup, fault, run)
            for setup in self.setups
            for fault in self.faults
            for run in range(self.runs)
            if replicas in {None, setup.replicas}
        )

    def _wanted(self, setup: Setup, fault: Fault, run: int) -> bool:
        done = self.results.of(setup.name, fault.name)
        if any(each.run == run for each in done):
            return False
        return not (
            fault.name in setup.hopeless and run >= GIVE_UP_AFTER and all(each.seconds is None for each in done)
        )


def phase(setup: Setup, fault: Fault, run: int) -> float:
    """Seconds into the watcher's period at which this fault comes: evenly spread, in a fixed random order."""
    chance = random.Random(f"{SEED} {setup.name} {fault.name}")  # noqa: S311 - a schedule, not a secret
    strata = list(range(STRATA))
    chance.shuffle(strata)
    within = [chance.random() for _ in strata]
    number = run % STRATA
    return (strata[number] + within[number]) / STRATA * setup.period(of_the_check=fault.of_the_check)


def measure(host: Host, setup: Setup, fault: Fault, number: int) -> Run:
    """Inject the fault and wait for the recovery; the host is clean and the watcher runs."""
    replica = number % setup.replicas + 1
    moment = phase(setup, fault, number)
    time.sleep(moment)
    with Client(host.address()) as client:
        patience = time.monotonic() + WARM_UP
        while third_in_a_row(client.attempts(), 0.0) is None and time.monotonic() < patience:
            time.sleep(POLL)
        if third_in_a_row(client.attempts(), 0.0) is None:
            raise HostError(f"{host.name}: registrations fail before the fault")
        # Where the fault hits an API container, only another start of it ends the fault.
        sick = target(replica) if "{target}" in fault.script else ""
        since = host.started(sick) if sick else ""
        load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)
        before = time.time() - time.monotonic()
        said = host.sh(fault.script.replace("{target}", target(replica)), timeout=60)
        injected = time.monotonic()  # what is sent from here on meets the fault
        began = float(said.split()[0]) - before
        recovered = _recovery(host, fault, client, injected, began + setup.bound)
        whole = None
        if setup.replicas > 1 and recovered is not None:
            whole = _redundancy(host, began + setup.bound, sick, since)
            time.sleep(AFTERWARDS)
    bad = [each for each in client.all_attempts() if not each.good and each.ended >= began]
    return Run(
        setup=setup.name,
        fault=fault.name,
        run=number,
        replica=replica,
        phase=round(moment, 1),
        seconds=None if recovered is None else round(recovered - began, 2),
        bound=setup.bound,
        whole=None if whole is None else round(whole - began, 1),
        failed_in_flight=sum(each.sent < injected for each in bad),
        failed=sum(each.sent >= injected for each in bad),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=version(setup),
        load=load,
        unanswered=sum(each.status == 0 for each in bad if each.sent >= injected),
    )


def _recovery(host: Host, fault: Fault, client: Client, injected: float, deadline: float) -> float | None:
    """The moment of the third good registration in a row, all sent after the fault's own proof; None: not in time."""
    since = None if fault.proof else injected
    while time.monotonic() < deadline:
        if fault.proof == "redis":
            well = client.redis_well_since()
            since = None if well is None or well < injected else well
        elif fault.proof == "docker" and since is None:
            since = _docker_answers(host)
        if since is not None:
            recovered = third_in_a_row(client.attempts(), since)
            if recovered is not None:
                return recovered if recovered <= deadline else None
        time.sleep(POLL)
    return None


def _docker_answers(host: Host) -> float | None:
    """The moment when Docker on the host answered; None: it does not."""
    try:
        host.sh("timeout 2 docker version --format '{{.Server.Version}}' >/dev/null", timeout=5)
    except HostError:
        time.sleep(LOOK)
        return None
    return time.monotonic()


def _redundancy(host: Host, deadline: float, sick: str = "", since: str = "") -> float | None:
    """The moment when every container was found healthy; None: not in time.

    Args:
        host: where to look.
        deadline: when to give up.
        sick: a container that must have been started anew, for Docker calls a frozen one healthy for a while.
        since: when that one had been started before the fault.
    """
    while time.monotonic() < deadline:
        if host.whole() and (not sick or host.started(sick) != since):
            return time.monotonic()
        time.sleep(LOOK)
    return None


def version(setup: Setup) -> str:
    """A digest of what watches, so that results of different versions are not mixed unseen."""
    if setup.monitor:
        files = sorted((ROOT / "roles" / "monitor" / "files").rglob("*.py"))
    elif setup.cycle:
        files = [MONIT_CONFIGURATION, MONIT_CURE]
    else:
        files = []
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return digest.hexdigest()[:8] if files else ""


def worker(host: Host, work: Work) -> None:
    """Make runs on one host until none is left."""
    hard = True
    while (job := work.take(host.replicas)) is not None:
        setup, fault, number = job
        for attempt in range(1, ATTEMPTS + 1):
            try:
                host.clean(hard=hard)
                setup.start(host)
                hard = True  # unless this run ends well
                time.sleep(SETTLE)
                wait_until_old(host, UPTIME)
                run = measure(host, setup, fault, number)
            except (HostError, ValueError, IndexError, subprocess.SubprocessError) as error:
                print(f"{setup.name} {fault.name} run {number}, attempt {attempt}: spoiled: {error}", flush=True)
                continue
            work.results.add(run)
            # A component that this run did not bring back must not be the next run's.
            hard = (
                run.seconds is None or fault.proof == "docker" or _redundancy(host, time.monotonic() + HEALTHY) is None
            )
            took = "never" if run.seconds is None else f"{run.seconds:.1f} s"
            print(f"{setup.name:15} {fault.name:18} run {number:2}: {took}", flush=True)
            break
        work.ended(setup)


def main() -> int:
    """Measure; returns the exit code: 1 when a target was missed or a run is missing."""
    options = _options()
    setups = [each for each in SETUPS if each.name in options.setups]
    faults = [each for each in FAULTS if each.name in options.faults]
    results = Results(WORK / "runs.jsonl")
    if options.resume:
        results.resume(DATA)
    if options.fresh:
        results.forget({each.name for each in setups}, {each.name for each in faults})
    costly = [each for each in setups if each.name in WATCHED_FOR_COST] if options.cost else []
    work = Work(options.runs, setups, faults, results)
    if costly or not work.done():
        try:
            hosts = make_hosts(options.hosts)
            for replicas in sorted({setup.replicas for setup in setups}):
                if not work.done(replicas):
                    _all_runs(hosts, work, replicas)
            if costly:
                versions = {each.name: version(each) for each in costly}
                results.add_cost(measure_cost(hosts[0], costly, versions, options.cost))
        finally:
            if not options.keep:
                remove_hosts()
    print("\n" + tables(results, setups, faults))
    if options.publish:
        publish(results)
    return verdicts(results, setups, faults, options.runs)


def _all_runs(hosts: list[Host], work: Work, replicas: int) -> None:
    """Make all runs with this number of replicas, on all hosts side by side."""
    # One after the other and before the first run: it takes all cores. The first host builds the images for the others.
    for host in hosts:
        host.arrange(replicas)
    threads = [threading.Thread(target=worker, args=(host, work), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=__doc__)
    names = [each.name for each in SETUPS]
    kinds = [each.name for each in FAULTS]
    parser.add_argument("--runs", type=int, default=10, help="of each fault in each set-up (default 10)")
    parser.add_argument("--setups", type=str.split, default=names, help=f"some of: {' '.join(names)}")
    parser.add_argument("--faults", type=str.split, default=kinds, help=f"some of: {' '.join(kinds)}")
    parser.add_argument("--hosts", type=int, default=1, help="test hosts that measure side by side (default 1)")
    parser.add_argument(
        "--cost",
        type=float,
        help="seconds over which a watcher's own cost is taken (default 600; 0 with some faults only)",
    )
    parser.add_argument("--resume", action="store_true", help="take the published runs as done")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs of these set-ups and faults")
    parser.add_argument("--keep", action="store_true", help="keep the test hosts")
    parser.add_argument("--publish", action="store_true", help="write docs/recovery.md, its data and its plot")
    options = parser.parse_args()
    if options.cost is None:
        options.cost = 600.0 if set(options.faults) == set(kinds) else 0.0
    for name in {*options.setups} - {*names} | {*options.faults} - {*kinds}:
        parser.error(f"there is no '{name}'")
    return options


if __name__ == "__main__":
    sys.exit(main())
