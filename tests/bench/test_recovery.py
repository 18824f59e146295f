"""What the figures of docs/recovery.md rest on: what counts as recovered, the spread of the faults, and the ranks."""

import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.recovery import STRATA, Work, phase
from bench.recovery_client import Attempt, third_in_a_row
from bench.recovery_faults import FAULTS
from bench.recovery_report import plot, tables
from bench.recovery_results import Cost, Results, Run, rank
from bench.recovery_setups import SETUPS


def attempt(sent: float, *, took: float = 0.1, status: int = 201) -> Attempt:
    return Attempt(sent, sent + took, status)


def run(number: int, seconds: float | None, setup: str = "monitor-1", fault: str = "killed") -> Run:
    return Run(setup, fault, number, 1, 0.0, seconds, 180.0, None, 0, 0, "", "")


def test_the_third_in_a_row_proves_the_service() -> None:
    good = [attempt(1), attempt(2), attempt(3)]
    assert third_in_a_row(good, 0) == pytest.approx(3.1)
    assert third_in_a_row(good[:2], 0) is None


def test_a_failure_begins_the_row_anew() -> None:
    attempts = [attempt(1), attempt(2), attempt(3, status=503), attempt(4), attempt(5), attempt(6)]
    assert third_in_a_row(attempts, 0) == pytest.approx(6.1)


def test_registrations_sent_before_the_fault_prove_nothing() -> None:
    assert third_in_a_row([attempt(1), attempt(2), attempt(3)], 1.5) is None


def test_a_row_is_in_the_order_of_sending_and_ends_with_its_slowest() -> None:
    attempts = [attempt(3), attempt(1, took=5), attempt(2)]
    assert third_in_a_row(attempts, 0) == pytest.approx(6)


def test_the_moments_of_the_faults_are_spread_over_the_whole_period() -> None:
    for setup in SETUPS:
        for fault in FAULTS:
            period = setup.period(of_the_check=fault.of_the_check)
            moments = [phase(setup, fault, number) for number in range(STRATA)]
            assert sorted(int(each / period * STRATA) for each in moments) == list(range(STRATA))


def test_ranks() -> None:
    runs = [run(number, number + 1) for number in range(10)]
    assert (rank(runs, 0.5), rank(runs, 0.95)) == (5, 10)
    assert rank([*runs[1:], run(0, None)], 0.95) is None


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    results = Results(path)
    results.add(run(0, 1.5))
    results.add_cost([Cost("monitor-1", 600, 0.005, 18.0, "")])
    again = Results(path)
    assert (again.runs, again.costs) == (results.runs, results.costs)
    monitor = [each for each in SETUPS if each.name == "monitor-1"]
    killed = [each for each in FAULTS if each.name == "killed"]
    work = Work(2, monitor, killed, again)
    assert work.take(2) is None
    left = work.take(1)
    assert left is not None
    assert left[2] == 1
    assert work.take(1) is None


def test_published_runs_count_as_done(tmp_path: Path) -> None:
    published = tmp_path / "recovery.json"
    published.write_text(json.dumps({"runs": [asdict(run(0, 2.0)), asdict(run(1, 3.0))], "costs": []}))
    results = Results(tmp_path / "runs.jsonl")
    results.add(run(0, 1.0))
    results.resume(published)
    assert [each.seconds for each in results.of("monitor-1", "killed")] == [1.0, 3.0]


def test_a_hopeless_set_up_is_tried_three_times(tmp_path: Path) -> None:
    results = Results(tmp_path / "runs.jsonl")
    setups = [each for each in SETUPS if each.name == "restart-policy"]
    faults = [each for each in FAULTS if each.name == "killed"]
    for number in range(3):
        assert not Work(10, setups, faults, results).done()
        results.add(run(number, None, "restart-policy"))
    assert Work(10, setups, faults, results).done()


def test_table_and_plot_show_who_never_recovers(tmp_path: Path) -> None:
    results = Results(tmp_path / "runs.jsonl")
    for number in range(4):
        results.add(run(number, None, "restart-policy"))
        results.add(run(number, 2.0 + number if number else None))
    text = tables(results, SETUPS, FAULTS)
    assert "| API killed | **never** (4) | 4.0 / never (4), never: 1 |" in text
    drawing = ElementTree.fromstring(plot(results))  # noqa: S314 - our own
    assert "4 of 4" in "".join(drawing.itertext())
