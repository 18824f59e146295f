"""Any moment of the past: what the replica restores is what a ledger of the writes says of that moment."""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.backup.database import Commit, Writer, rows, sound
from tests.backup.replicated import Host

MOMENTS = 20
RATE = 10.0  # writes a second
TOLERANCE = 1.0  # seconds
AT_ONCE = 2  # restores
SENT = 3.0  # seconds after which a write is at the far side


def deviation(ledger: Sequence[Commit], there: set[str], moment: float) -> tuple[float, float]:
    """Return how many seconds of writes before a moment are missing, and how many of those after it are there."""
    missing = [moment - commit.at for commit in ledger if commit.row not in there and commit.at <= moment]
    early = [commit.at - moment for commit in ledger if commit.row in there and commit.at > moment]
    return max(missing, default=0.0), max(early, default=0.0)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("seconds", "later"),
    [
        pytest.param(60.0, 0.0, marks=pytest.mark.timeout(240)),
        pytest.param(3600.0, 3600.0, marks=[pytest.mark.long, pytest.mark.timeout(3600 + 900)]),
    ],
    ids=["a minute", "an hour"],
)
def test_a_restored_moment_has_the_rows_of_the_ledger(host: Host, tmp_path: Path, seconds: float, later: float) -> None:
    """20 random moments of a minute, each restored soon after; or of an hour, once its first files were merged."""
    writer = Writer(host.database, RATE)
    writer.start()
    began = time.time()
    chosen = random.Random(20261129)  # noqa: S311  # the same in each run
    moments = sorted(began + chosen.uniform(0, seconds) for _ in range(MOMENTS))

    def restored(number: int) -> tuple[float, float]:
        time.sleep(max(0.0, max(moments[number] + SENT, began + later) - time.time()))
        target = tmp_path / f"restored-{number}"
        host.replica.restore(target, moments[number])
        assert sound(target)
        there = rows(target)
        assert there == {commit.row for commit in writer.ledger[: len(there)]}, "there is a gap"
        return deviation(writer.ledger, there, moments[number])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        restores = [pool.submit(restored, number) for number in range(MOMENTS)]
        time.sleep(seconds)
        writer.close()
        found = [each.result() for each in restores]
    took = time.time() - began - seconds
    late, early = (max(each) for each in zip(*found, strict=True))
    print(  # noqa: T201  # for the reader
        f"\n{len(writer.ledger)} writes in {seconds:.0f} s, {MOMENTS} moments restored after {took:.0f} s more: "
        f"at most {late:.2f} s of writes before the moment missing, at most {early:.2f} s of those after it there"
    )
    assert not writer.failures
    assert len(writer.ledger) > 0.9 * RATE * seconds
    assert late <= TOLERANCE
    assert early <= TOLERANCE
