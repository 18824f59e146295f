"""Runs groups of checks of tests.toml, some side by side; goes on after a failure; ends with one summary line.

Usage: run_tests.py GROUP…
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tomllib

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / ".cache" / "test"


class Run:
    """One run of groups; `outcomes` says of each step that has ended whether it passed."""

    def __init__(self, groups: dict[str, dict[str, str]]) -> None:
        self.outcomes: dict[str, bool] = {}
        self._groups = groups
        self._processes: list[subprocess.Popen[str]] = []
        self._ending = False

    def stage(self, lanes: Iterable[Sequence[str]]) -> None:
        """Run lanes side by side, to their ends; a lane's groups run one after the other."""
        threads = [threading.Thread(target=self._lane, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _lane(self, lane: Sequence[str]) -> None:
        for group in lane:
            for name, command in self._groups.get(group, {}).items():
                if not self._ending:
                    self._step(group, name, command)

    def _step(self, group: str, name: str, command: str) -> None:
        began = time.monotonic()
        print(f"== {name}", flush=True)
        with subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, text=True, errors="replace", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            self._processes.append(process)
            for line in process.stdout or ():
                print(f"{group} | {line}", end="", flush=True)
        self.outcomes[name] = process.returncode == 0
        ending = "passed" if self.outcomes[name] else "failed"
        print(f"== {name}: {ending}, {time.monotonic() - began:.0f} s", flush=True)

    def end(self) -> None:
        """End the steps that are still at work, with all that they have started."""
        self._ending = True
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def remove_hosts(scenarios: Iterable[str]) -> None:
    """Remove the scenarios' hosts: what an earlier run has left would pass for new."""
    for name in scenarios:
        command = ["molecule", "destroy", "--scenario-name", name]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def failed_tests(report: Path) -> list[str]:
    """Return a line for each of the first ten failed tests of a JUnit report: its name and why."""
    return [
        f"{case.get('classname')}::{case.get('name')}: {(problem.get('message') or '')[:300]}"
        for case in ElementTree.parse(report).iter("testcase")  # noqa: S314  # written by pytest a moment ago
        for problem in (*case.findall("failure"), *case.findall("error"))
    ][:10]


def summary(outcomes: dict[str, bool], reports: Iterable[Path]) -> str:
    """Return the failed tests and steps, and a last line with the numbers of steps."""
    failed = [f"failed: {name}" for name, passed in outcomes.items() if not passed]
    tests = [line for report in reports for line in failed_tests(report)] if failed else []
    return "\n".join([*tests, *failed, f"{len(outcomes) - len(failed)} passed, {len(failed)} failed"])


def main(groups: Sequence[str], checks: dict[str, Any]) -> int:
    """Run groups; returns the exit code."""
    if unknown := [group for group in groups if group not in checks["groups"]]:
        sys.exit(f"run_tests.py: no group {', '.join(unknown)}; there are {', '.join(checks['groups'])}")
    scenarios = [group for group in groups if (ROOT / "molecule" / group).is_dir()]
    os.environ.setdefault("COLUMNS", "150")  # Molecule folds what it shows of Ansible
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    run = Run({group: checks["groups"][group] for group in groups})
    with Path(tempfile.gettempdir(), "cleaning-service-test-hosts.lock").open("w", encoding="ascii") as lock:
        try:
            if scenarios:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("run_tests.py: another run on this machine is using the test hosts")
        remove_hosts(scenarios)
        try:
            for lanes in checks["stages"]:
                run.stage(lanes)
        finally:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # make repeats the signal that it gets itself
                signal.signal(number, signal.SIG_IGN)
            run.end()
            remove_hosts(scenarios)
    print(f"\n{summary(run.outcomes, sorted(REPORTS.glob('*.xml')))}")
    return 0 if all(run.outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], tomllib.loads((ROOT / "tools/tests.toml").read_text(encoding="utf-8"))))
