"""What the status page draws."""

import json

import pytest
from cleaning_service_monitor.history import BUCKET, DAYS, History
from cleaning_service_monitor.incidents import Incident
from cleaning_service_monitor.ladder import DAY, HOUR

NOW = 1_764_028_800.0  # midnight UTC


def test_five_minutes_are_one_bucket_with_median_and_worst() -> None:
    history = History()
    for seconds in (0.001, 0.003, 0.002, 0.5):
        history.record(NOW + 1, seconds, None)
    history.record(NOW + BUCKET, 0.004, 0.05)
    assert history.response(NOW + BUCKET) == [[NOW, 2.5, 500.0], [NOW + BUCKET, 4.0, 4.0]]
    assert history.registration(NOW + BUCKET) == [[NOW + BUCKET, 50.0, 50.0]]


def test_a_day_is_kept_and_no_more() -> None:
    history = History()
    for number in range(3 * 24 * 12):
        history.record(NOW + number * BUCKET, 0.001, 0.002)
    assert len(history.response(NOW + 3 * DAY)) <= DAY / BUCKET
    assert len(json.dumps(history.dump())) < 50_000


def test_incidents_are_spread_over_the_days_they_lasted() -> None:
    history = History()
    history.mark_watched(NOW - DAY)
    history.mark_watched(NOW)
    incidents = [
        Incident("1", "api", "killed", NOW - 60, NOW + 30),
        Incident("2", "api", "killed", NOW + HOUR),
        Incident("3", "gone", "killed", NOW),
    ]
    days = history.days(NOW + HOUR + 5, incidents, ["api", "redis"])
    assert len(days["api"]) == DAYS
    assert [entry["down"] for entry in days["api"][-3:]] == [None, 60.0, 35.0]
    assert days["api"][-1]["day"] == "2025-11-25"
    assert days["redis"][-1]["down"] == 0.0


def test_what_is_saved_comes_back() -> None:
    history = History()
    history.record(NOW, 0.001, 0.002)
    history.mark_watched(NOW)
    reborn = History()
    reborn.restore(json.loads(json.dumps(history.dump())))
    assert reborn.dump() == history.dump()


@pytest.mark.parametrize(
    "saved", [None, 3, {}, {"watched": ["x"], "series": {}}, {"watched": [], "series": {"response": [[1]]}}]
)
def test_a_damaged_memory_is_refused(saved: object) -> None:
    with pytest.raises(ValueError, match="not readable"):
        History().restore(saved)
