"""How long a release takes, beside what Ansible itself costs: `make bench-release`, on the demo host.

A code-only change by playbooks/deploy.yml, a run of site.yml that changes nothing, a rollback; and, as the floor,
a play of as many tasks over the same connection that do nothing.
"""

import re
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import demo
from bench.demo import ROOT
from bench.report import Verdict

RUNS = 3  # of each; the middle one counts
_RECAP = re.compile(r"^(?P<task>\S.*?) -+ (?P<seconds>[0-9.]+)s$", re.MULTILINE)
_STEP = re.compile(r"^TASK \[(.*?)\] \*+$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One run of a playbook."""

    seconds: float
    tasks: int
    """That were carried out or skipped."""
    slowest: list[str]


def play(root: Path, playbook: str) -> Run:
    """Run a playbook against the demo host.

    Raises:
        SystemExit: it failed.
    """
    begun = time.monotonic()
    printed = demo.play(root, playbook)
    seconds = time.monotonic() - begun
    slowest = [f"{match['task']}: {match['seconds']} s" for match in _RECAP.finditer(printed)][:5]
    return Run(seconds, len(_STEP.findall(printed)), slowest)


def checkout(directory: Path, version: str) -> Path:
    """A copy of this checkout whose API calls itself so."""
    root = directory / version
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules", "dist"))
    module = root / "app" / "__init__.py"
    module.write_text(module.read_text().replace('__version__ = "', f'__version__ = "{version}+'))
    return root


def floor(directory: Path, tasks: int) -> Path:
    """A playbook of so many tasks that do nothing."""
    nothing = "".join(f"    - name: Nothing {number}\n      ansible.builtin.ping:\n" for number in range(tasks))
    play = f"---\n- name: Nothing\n  hosts: all\n  gather_facts: false\n  tasks:\n{nothing}"
    path = directory / "nothing.yml"
    path.write_text(play)
    return path


def told(what: str, runs: list[Run]) -> float:
    """Print the runs; returns the middle one's seconds."""
    runs = sorted(runs, key=lambda run: run.seconds)
    middle = runs[len(runs) // 2]
    print(f"\n{what}: {', '.join(f'{run.seconds:.1f}' for run in runs)} s, {middle.tasks} tasks; the slowest:")
    for line in middle.slowest:
        print(f"    {line}")
    return middle.seconds


def main() -> int:
    """Measure, print, and say which targets were met; returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        releases, rollbacks = [], []
        for number in range(RUNS):
            changed = checkout(directory, f"{number}.{secrets.token_hex(4)}")  # no earlier run has made its image
            releases.append(play(changed, "playbooks/deploy.yml"))
            rollbacks.append(play(ROOT, "playbooks/rollback.yml"))
        play(ROOT, "site.yml")
        nothing = [play(ROOT, "site.yml") for _ in range(RUNS)]
        floors = [play(ROOT, str(floor(directory, nothing[0].tasks))) for _ in range(RUNS)]
    verdict = Verdict()
    release, rollback = told("deploy.yml, code-only change", releases), told("rollback.yml", rollbacks)
    unchanged, least = told("site.yml, no change", nothing), told(f"{nothing[0].tasks} tasks that do nothing", floors)
    print()
    verdict.below("seconds of a release of changed code", release, 45)
    verdict.below("seconds of site.yml without a change", unchanged, 25)
    verdict.below("seconds of a rollback", rollback, 30)
    print(f"        site.yml without a change takes {unchanged / least:.1f} times what as many empty tasks take")
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
