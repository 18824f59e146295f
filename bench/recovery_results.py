"""The results: one JSON object a line, appended as soon as a run has ended."""

import dataclasses
import json
import math
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One fault in one set-up.

    Attributes:
        run: its number, from 0; the moment of the fault follows from it.
        replica: the API replica that was meant, from 1.
        phase: seconds into the watcher's period at which the fault came.
        seconds: from the fault to the third good registration in a row; None: not within `bound`.
        whole: seconds until every container was healthy again; only with two replicas.
        failed_in_flight: registrations that were sent before the fault had struck, and failed.
        failed: registrations that were sent afterwards and failed.
        version: digest of what watched.
        unanswered: those among `failed` without an answer, the others were refused; None: not noted.
        load: of this machine at the fault (processes that run or want to, for each core); None: not noted.
    """

    setup: str
    fault: str
    run: int
    replica: int
    phase: float
    seconds: float | None
    bound: float
    whole: float | None
    failed_in_flight: int
    failed: int
    at: str
    version: str
    load: float | None = None
    unanswered: int | None = None


@dataclass(frozen=True)
class Cost:
    """What a watcher took on a calm host.

    Attributes:
        seconds: over which it was watched.
        cpu: share of one core, children included; 0.01 is one percent.
        memory: MB, the largest sum of resident memory of its processes.
    """

    setup: str
    seconds: float
    cpu: float
    memory: float
    version: str


class Results:
    """What has been measured, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.runs: list[Run] = []
        self.costs: list[Cost] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if "cpu" in entry:
                    self.costs.append(Cost(**entry))
                else:
                    self.runs.append(Run(**entry))

    def resume(self, path: Path) -> None:
        """Take the published runs and costs as done, where there are no newer ones."""
        published = json.loads(path.read_text())
        for entry in published["runs"]:
            if all(each.run != entry["run"] for each in self.of(entry["setup"], entry["fault"])):
                self.add(Run(**entry))
        known = {each.setup for each in self.costs}
        self.add_cost([Cost(**entry) for entry in published["costs"] if entry["setup"] not in known])

    def add(self, run: Run) -> None:
        """Keep a run."""
        with self._lock:
            self.runs.append(run)
            self._append(run)

    def add_cost(self, costs: list[Cost]) -> None:
        """Keep costs; they take the place of earlier ones of the same set-ups."""
        with self._lock:
            new = {cost.setup for cost in costs}
            self.costs = [each for each in self.costs if each.setup not in new] + costs
            self._write()

    def of(self, setup: str, fault: str) -> list[Run]:
        """The runs of one fault in one set-up, in the order of their numbers."""
        found = [each for each in self.runs if (each.setup, each.fault) == (setup, fault)]
        return sorted(found, key=lambda each: each.run)

    def forget(self, setups: set[str], faults: set[str]) -> None:
        """Forget the runs of these faults in these set-ups."""
        self.runs = [each for each in self.runs if each.setup not in setups or each.fault not in faults]
        self._write()

    def _append(self, entry: Run | Cost) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(entry)) + "\n")

    def _write(self) -> None:
        entries: list[Run | Cost] = [*self.runs, *self.costs]
        lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in entries]
        self._path.write_text("".join(lines))


def rank(runs: list[Run], share: float) -> float | None:
    """The time that `share` of the runs do not exceed (nearest rank); None: that run never recovered."""
    times = sorted(math.inf if each.seconds is None else each.seconds for each in runs)
    found = times[max(0, math.ceil(share * len(times)) - 1)]
    return None if math.isinf(found) else found
