"""The far side is away for long: the service writes on, the disk has room, and nothing is missing afterwards."""

import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cleaning_service_backup.place import Place
from cleaning_service_backup.watch import BACKLOG, INTERVAL, Watch

from tests.backup.database import Commit, Writer, rows, sound
from tests.backup.replicated import Host
from tests.backup.test_point_in_time import TOLERANCE, deviation

RATE = 10.0  # writes a second
LOG = 16_000_000  # bytes that the database's write-ahead log may take
LONGEST = 1.0  # seconds that a write may take
NOISE = 0.1  # seconds by which one write in a hundred may be slower than before, beside other tests
WEEK = 7 * 24  # hours


def percentile_99(ledger: Sequence[Commit]) -> float:
    """Return the time that all but one in a hundred writes took less than, in seconds."""
    return statistics.quantiles([commit.took for commit in ledger], n=100)[-1]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("before", "away", "catch_up"),
    [
        (10.0, 20.0, 20.0),
        pytest.param(60.0, 3600.0, 120.0, marks=[pytest.mark.long, pytest.mark.timeout(3600 + 900)]),
    ],
    ids=["seconds", "an hour"],
)
def test_a_far_side_that_comes_back_gets_everything(
    host: Host, tmp_path: Path, before: float, away: float, catch_up: float
) -> None:
    place, said = Place(host.settings), list[str]()
    watch = Watch(host.replica, host.layout, place, said.append)
    log = host.database.with_name(f"{host.database.name}-wal")
    writer = Writer(host.database, RATE)
    writer.start()
    time.sleep(before)
    watch.look()
    assert json.loads(place.replica_status.read_text())["behind"] == 0.0
    calm, kept, longest_log, behind = len(writer.ledger), host.replica.backlog(), 0, 0.0
    with host.away():
        gone = time.time()
        while (left := gone + away - time.time()) > 0:
            time.sleep(min(left, INTERVAL, away / 3))
            watch.look()
            longest_log = max(longest_log, log.stat().st_size)
            behind = float(json.loads(place.replica_status.read_text())["behind"])
        stored = host.replica.backlog()
        last = len(writer.ledger)
    back = time.time()
    host.settled(catch_up)
    caught_up = time.time() - back
    watch.look()
    writer.close()
    host.settled()
    while_away = writer.ledger[calm:last]
    figures = {
        "writes": len(writer.ledger), "while away": len(while_away), "failed": len(writer.failures),
        "p99 before, ms": round(1000 * percentile_99(writer.ledger[:calm]), 1),
        "p99 while away, ms": round(1000 * percentile_99(while_away), 1),
        "longest, ms": round(1000 * max(commit.took for commit in while_away), 1),
        "database, MB": round(host.database.stat().st_size / 1e6, 2),
        "log, MB": round(longest_log / 1e6, 2),
        "kept before, MB": round(kept / 1e6, 2), "kept after, MB": round(stored / 1e6, 2),
        "a week, GB": round((stored - kept) / away * 3600 * WEEK / 1e9, 2),
        "behind, s": round(behind, 1), "caught up within, s": round(caught_up, 1),
    }  # fmt: skip
    print(f"\n{figures}")  # noqa: T201  # for the reader
    assert not writer.failures
    assert len(while_away) > 0.9 * RATE * away
    assert longest_log < LOG
    assert stored < BACKLOG
    assert behind > away - INTERVAL
    assert said[-1] == "the far side has everything"
    assert json.loads(place.replica_status.read_text())["behind"] == 0.0
    assert not any("begins anew" in each for each in said)

    newest = tmp_path / "newest"
    host.replica.restore(newest)
    assert sound(newest)
    assert rows(newest) == {commit.row for commit in writer.ledger}
    chosen = random.Random(20261129)  # noqa: S311  # the same in each run
    for number in range(3):  # also what was written while it was away can be gone back to
        moment, target = chosen.uniform(gone, back), tmp_path / f"restored-{number}"
        host.replica.restore(target, moment)
        assert max(deviation(writer.ledger, rows(target), moment)) <= TOLERANCE
    assert max(commit.took for commit in while_away) < LONGEST
    assert percentile_99(while_away) < percentile_99(writer.ledger[:calm]) + NOISE
