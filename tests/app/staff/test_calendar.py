"""The calendar: clock changes, skipped days, night shifts, and bit sets compared with brute force."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.staff.calendar import (
    DAY,
    EPOCH,
    MINUTES_PER_DAY,
    SLOT,
    CleanerCalendar,
    Interval,
    count_free,
    day_interval,
    is_slot_boundary,
    local_to_utc,
    slot_start,
    working_intervals,
)
from app.staff.models import DayOff, WorkingHours

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KATHMANDU = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
APIA = ZoneInfo("Pacific/Apia")  # had no 30 December 2011
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # changes by half an hour
HAVANA = ZoneInfo("America/Havana")  # changes at midnight
ZONES = [BERLIN, NEW_YORK, KATHMANDU, APIA, LORD_HOWE, HAVANA, ZoneInfo("UTC")]
ODD_DAYS = [
    date(2026, 3, 29),
    date(2026, 10, 25),
    date(2026, 3, 8),
    date(2026, 11, 1),
    date(2026, 4, 5),
    date(2026, 10, 4),
    date(2011, 12, 30),
]
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

days = st.one_of(st.sampled_from(ODD_DAYS), st.dates(date(2000, 1, 1), date(2037, 12, 31)))
minutes = st.integers(0, MINUTES_PER_DAY)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def week(*shifts: tuple[int, int, int]) -> list[WorkingHours]:
    """Working hours of (weekday, first hour, last hour)."""
    return [WorkingHours(cleaner_id="c", weekday=day, starts=a * 60, ends=b * 60) for day, a, b in shifts]


def off(first: date, last: date | None = None) -> DayOff:
    return DayOff(cleaner_id="c", first_day=first, last_day=last or first)


def around(day: date) -> list[date]:
    return [day - DAY, day, day + DAY]


@given(days, minutes, st.sampled_from(ZONES))
@example(date(2026, 3, 29), 150, BERLIN)
@example(date(2026, 10, 25), 150, BERLIN)
@example(date(2011, 12, 30), 720, APIA)
@example(date(2026, 3, 8), 0, HAVANA)
def test_local_to_utc_returns_the_first_time_not_before_the_local_time(day: date, minutes: int, zone: ZoneInfo) -> None:
    wanted = datetime(day.year, day.month, day.day) + minutes * MINUTE  # noqa: DTZ001  # local time
    found = local_to_utc(day, minutes, zone)

    def shown(at: datetime) -> datetime:
        return at.astimezone(zone).replace(tzinfo=None)

    assert shown(found) >= wanted
    # No earlier minute of the last 24 hours fits. Clock changes are never longer.
    assert all(shown(found - number * MINUTE) < wanted for number in range(1, 24 * 60))


@given(days, st.tuples(minutes, minutes), st.sampled_from(ZONES))
def test_local_to_utc_is_monotonic(day: date, pair: tuple[int, int], zone: ZoneInfo) -> None:
    first, second = sorted(pair)
    assert local_to_utc(day, first, zone) <= local_to_utc(day, second, zone)
    assert local_to_utc(day, MINUTES_PER_DAY, zone) == local_to_utc(day + DAY, 0, zone)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (BERLIN, date(2026, 3, 28), 24),
        (BERLIN, date(2026, 3, 29), 23),
        (BERLIN, date(2026, 10, 25), 25),
        (NEW_YORK, date(2026, 3, 8), 23),
        (NEW_YORK, date(2026, 11, 1), 25),
        (KATHMANDU, date(2026, 3, 29), 24),
        (LORD_HOWE, date(2026, 4, 5), 24.5),
        (APIA, date(2011, 12, 29), 24),
        (APIA, date(2011, 12, 30), 0),
        (APIA, date(2011, 12, 31), 24),
    ],
)
def test_length_of_days(zone: ZoneInfo, day: date, hours: float) -> None:
    whole = day_interval(day, zone)
    assert (whole.end - whole.start) / HOUR == hours


def test_skipped_and_repeated_local_times() -> None:
    assert local_to_utc(date(2026, 3, 29), 150, BERLIN) == utc(2026, 3, 29, 1)
    assert local_to_utc(date(2026, 10, 25), 150, BERLIN) == utc(2026, 10, 25, 0, 30)
    assert local_to_utc(date(2026, 3, 8), 150, NEW_YORK) == utc(2026, 3, 8, 7)
    assert local_to_utc(date(2026, 11, 1), 90, NEW_YORK) == utc(2026, 11, 1, 5, 30)
    assert local_to_utc(date(2026, 12, 1), 540, KATHMANDU) == utc(2026, 12, 1, 3, 15)
    assert local_to_utc(date(2011, 12, 30), 720, APIA) == utc(2011, 12, 30, 10)


def test_clock_change_removes_or_shortens_a_shift() -> None:
    sunday = date(2026, 3, 29)
    swallowed = [WorkingHours(cleaner_id="c", weekday=6, starts=120, ends=180)]
    assert working_intervals(swallowed, [], [sunday], BERLIN) == []
    cut = [WorkingHours(cleaner_id="c", weekday=6, starts=135, ends=210)]
    assert working_intervals(cut, [], [sunday], BERLIN) == [Interval(utc(2026, 3, 29, 1), utc(2026, 3, 29, 1, 30))]


def test_skipped_day_has_no_working_time() -> None:
    friday = date(2011, 12, 30)
    assert working_intervals(week((4, 9, 17)), [], around(friday), APIA) == []
    night = working_intervals(week((3, 22, 24), (4, 0, 24), (5, 0, 6)), [], around(friday), APIA)
    assert night == [Interval(utc(2011, 12, 30, 8), utc(2011, 12, 30, 16))]


@pytest.mark.parametrize(("sunday", "hours"), [(date(2026, 3, 22), 8), (date(2026, 3, 29), 7), (date(2026, 10, 25), 9)])
def test_night_shift_is_one_interval(sunday: date, hours: int) -> None:
    [night] = working_intervals(week((5, 22, 24), (6, 0, 6)), [], around(sunday), BERLIN)
    assert (night.end - night.start) / HOUR == hours


def test_night_shift_across_the_end_of_the_week() -> None:
    monday = date(2026, 12, 7)
    [night] = working_intervals(week((6, 22, 24), (0, 0, 6)), [], around(monday), BERLIN)
    assert night == Interval(utc(2026, 12, 6, 21), utc(2026, 12, 7, 5))


def test_day_off_removes_its_own_part_of_a_night_shift() -> None:
    tuesday = date(2026, 12, 8)
    shifts = week((0, 22, 24), (1, 0, 6))
    assert working_intervals(shifts, [off(tuesday)], around(tuesday), BERLIN) == [
        Interval(utc(2026, 12, 7, 21), utc(2026, 12, 7, 23))
    ]
    assert working_intervals(shifts, [off(tuesday - DAY, tuesday)], around(tuesday), BERLIN) == []
    assert len(working_intervals(shifts, [off(tuesday + DAY)], around(tuesday), BERLIN)) == 1


def test_adjacent_shifts_are_merged() -> None:
    monday = date(2026, 12, 7)
    assert len(working_intervals(week((0, 9, 12), (0, 12, 17)), [], [monday], BERLIN)) == 1
    assert len(working_intervals(week((0, 9, 12), (0, 13, 17)), [], [monday], BERLIN)) == 2


def test_slots_of_an_interval() -> None:
    hour = Interval(EPOCH + 20 * SLOT, EPOCH + 22 * SLOT)
    assert hour.slots == hour.whole_slots == hour.starting_slots == range(20, 22)
    unaligned = Interval(hour.start + MINUTE, hour.end + timedelta(microseconds=1))
    assert unaligned.slots == range(20, 23)
    assert unaligned.whole_slots == range(21, 22)
    assert unaligned.starting_slots == range(21, 23)
    assert is_slot_boundary(slot_start(20))
    assert not is_slot_boundary(slot_start(20) + timedelta(microseconds=1))


@given(days, st.sampled_from(ZONES))
def test_each_slot_begins_in_exactly_one_day(day: date, zone: ZoneInfo) -> None:
    today, tomorrow = day_interval(day, zone), day_interval(day + DAY, zone)
    assert today.starting_slots.stop == tomorrow.starting_slots.start
    assert all(slot_start(slot).astimezone(zone).date() == day for slot in today.starting_slots)


offsets = st.integers(-30, 120)
breaks = st.lists(st.integers(-900, 3600), max_size=8, unique=True).map(sorted)


@st.composite
def calendars(draw: st.DrawFn) -> CleanerCalendar:
    """A calendar whose shifts begin and end at any minute."""
    ends = draw(breaks)
    shifts = [Interval(EPOCH + a * MINUTE, EPOCH + b * MINUTE) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    taken = frozenset(draw(st.sets(offsets, max_size=6)))
    elsewhere = frozenset(draw(st.sets(st.sampled_from(sorted(taken)))) if taken else ())
    return CleanerCalendar("c", shifts, taken, elsewhere, draw(st.integers(0, 8)))


@given(st.lists(calendars(), max_size=4), st.integers(0, 60), st.integers(0, 60), st.integers(1, 24))
def test_possible_starts_equals_is_free_for_each_visit(
    cleaners: list[CleanerCalendar], first: int, width: int, length: int
) -> None:
    slots = range(first, first + width)
    visits = [Interval(slot_start(slot), slot_start(slot + length)) for slot in slots]
    for cleaner in cleaners:
        bits = cleaner.possible_starts(slots, length)
        assert [bits >> index & 1 == 1 for index in range(width)] == [cleaner.is_free(visit) for visit in visits]
        assert bits < 1 << width
    assert count_free(cleaners, slots, length) == [sum(c.is_free(visit) for c in cleaners) for visit in visits]


def test_travel_time_applies_only_to_visits_at_other_addresses() -> None:
    cleaner = CleanerCalendar("c", [Interval(slot_start(0), slot_start(20))], frozenset({5, 12}), frozenset({12}), 2)
    assert [slot for slot in range(20) if cleaner.possible_starts(range(20), 1) >> slot & 1] == [
        *range(5),
        *range(6, 10),
        *range(15, 20),
    ]


def test_shifts_off_the_half_hour_offer_only_whole_slots() -> None:
    day = date(2026, 12, 7)
    [shift] = working_intervals(week((0, 9, 11)), [], [day], KATHMANDU)  # 03:15 to 05:15 UTC
    cleaner = CleanerCalendar("c", [shift], frozenset())
    slots = day_interval(day, KATHMANDU).starting_slots
    found = [slot_start(slot) for slot, count in zip(slots, count_free([cleaner], slots, 3), strict=True) if count]
    assert found == [utc(2026, 12, 7, 3, 30)]
