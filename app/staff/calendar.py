"""When cleaners are free. Working hours follow the clock on the wall; everything else is in UTC."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from sqlalchemy import delete
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from app.bookings.models import BookingRecord
from app.kit.places import place_of
from app.staff.models import SLOT_MINUTES, BookingSlot, Cleaner, DayOff, WorkingHours

SLOT = timedelta(minutes=SLOT_MINUTES)
DAY = timedelta(days=1)
MIDNIGHT = 24 * 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, order=True)
class Interval:
    """From a moment (UTC) to another, the end not included."""

    start: datetime
    end: datetime

    def contains(self, other: "Interval") -> bool:
        """Whether the other lies within."""
        return self.start <= other.start and other.end <= self.end

    @property
    def slots(self) -> range:
        """The slots that it touches."""
        return range((self.start - EPOCH) // SLOT, _slot_from(self.end))

    @property
    def whole_slots(self) -> range:
        """The slots that lie in it wholly."""
        return range(_slot_from(self.start), (self.end - EPOCH) // SLOT)

    @property
    def slots_beginning(self) -> range:
        """The slots that begin in it; of intervals that follow each other, each slot begins in one."""
        return range(_slot_from(self.start), _slot_from(self.end))


def slot_start(slot: int) -> datetime:
    """The moment (UTC) at which a slot begins."""
    return EPOCH + slot * SLOT


def is_slot_boundary(at: datetime) -> bool:
    """Whether a slot begins at this moment."""
    return not (at - EPOCH) % SLOT


def slots_in(minutes: int) -> int:
    """How many slots these minutes take, rounded up."""
    return -(-minutes // SLOT_MINUTES)


def _slot_from(at: datetime) -> int:
    """The first slot that begins at this moment or later."""
    return -((EPOCH - at) // SLOT)


@lru_cache(maxsize=4096)
def moment(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which clocks on the wall show `minutes` after midnight; 1440 is the next midnight.

    A time that the clocks skip is the moment of the jump; of a time they show twice it is the first. So a later
    time is never an earlier moment, and what is skipped takes no time.
    """
    if minutes == MIDNIGHT:
        day, minutes = day + DAY, 0
    wall = datetime.combine(day, time(minutes // 60, minutes % 60), zone)
    before, after = wall.utcoffset(), wall.replace(fold=1).utcoffset()
    if before is None or after is None or after <= before:
        return wall.astimezone(UTC)
    # Skipped (PEP 495): read with the offset from before the jump it lies behind the jump, and the other way round.
    return _jump(wall.replace(fold=1).astimezone(UTC), wall.astimezone(UTC), zone)


def _jump(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The moment after `early`, not after `late`, at which the only jump between them happens."""
    before = early.astimezone(zone).utcoffset()
    while late - early > SECOND:
        middle = early + (late - early) // SECOND // 2 * SECOND
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def day_interval(day: date, zone: ZoneInfo) -> Interval:
    """The whole day: mostly 24 hours, 23 or 25 when the clocks change, none if the calendar skips it."""
    return Interval(moment(day, 0, zone), moment(day, MIDNIGHT, zone))


def working(
    hours: Iterable[WorkingHours], days_off: Iterable[DayOff], days: Iterable[date], zone: ZoneInfo
) -> list[Interval]:
    """When a cleaner works on these days; what meets at midnight is one interval.

    A shift over midnight is two entries, and a day off takes away the entry of its own day only.
    """
    by_weekday: dict[int, list[WorkingHours]] = defaultdict(list)
    for each in hours:
        by_weekday[each.weekday].append(each)
    days_off = list(days_off)
    found = sorted(
        (moment(day, each.starts, zone), moment(day, each.ends, zone))
        for day in days
        if not any(off.first_day <= day <= off.last_day for off in days_off)
        for each in by_weekday[day.weekday()]
    )
    merged: list[Interval] = []
    for start, end in found:
        if end <= start:  # swallowed by a jump of the clocks
            continue
        if merged and start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, end))
        else:
            merged.append(Interval(start, end))
    return merged


@dataclass(frozen=True)
class FreeTime:
    """A bookable cleaner in the days that were asked for."""

    cleaner_id: str
    working: Sequence[Interval]
    """In order; they do not touch each other."""
    taken: frozenset[int]
    """Slots."""
    elsewhere: frozenset[int] = frozenset()
    """Those of them that are spent at another address than the visit's."""
    travel: int = 0
    """Slots that it takes to get from one address to another."""

    def works_at(self, visit: Interval) -> bool:
        """Whether the whole visit lies in working hours."""
        return any(each.contains(visit) for each in self.working)

    def is_free(self, visit: Interval) -> bool:
        """Whether it lies in working hours, nothing else is there, and there is time to travel before and after it."""
        slots = visit.slots
        around = range(slots.start - self.travel, slots.stop + self.travel)
        return self.taken.isdisjoint(slots) and self.elsewhere.isdisjoint(around) and self.works_at(visit)

    def starts(self, slots: range, length: int) -> int:
        """When a visit of `length` slots can begin.

        Returns:
            A number whose bit i says whether it can begin with slots[i].
        """
        end = slots.stop + length - 1
        free = 0
        for each in self.working:
            whole = each.whole_slots
            first, stop = max(whole.start, slots.start), min(whole.stop, end)
            if first < stop:
                free |= ((1 << stop - first) - 1) << first - slots.start
        free &= ~self._blocked(range(slots.start, end))
        # After each round, a bit says that `known` slots from there on are free.
        known = 1
        while known < length:
            step = min(known, length - known)
            free &= free >> step
            known += step
        return free & (1 << len(slots)) - 1

    def _blocked(self, slots: range) -> int:
        """A number whose bit i says whether a visit must not touch slots[i]."""
        first, stop = slots.start - self.travel, slots.stop + self.travel
        blocked = _bits(self.elsewhere, first, stop)
        for _ in range(self.travel):
            blocked |= blocked << 1 | blocked >> 1
        return (blocked | _bits(self.taken, first, stop)) >> self.travel


def _bits(slots: Iterable[int], first: int, stop: int) -> int:
    """A number whose bit i says whether slot `first + i` is one of these; only slots before `stop`."""
    bits = 0
    for slot in slots:
        if first <= slot < stop:
            bits |= 1 << slot - first
    return bits


@dataclass(frozen=True)
class Travel:
    """What it takes to get to a visit from those before it, and from it to those after it."""

    slots: int = 0
    """From any address to another."""
    address: str | None = None
    """Of the visit; None: not known, every other visit is somewhere else."""
    visit: Interval | None = None
    """When it is to be; None: at any time."""


NO_TRAVEL = Travel()


def count_free(cleaners: Iterable[FreeTime], slots: range, length: int) -> list[int]:
    """For each slot, how many cleaners are free for a visit of `length` slots that begins with it."""
    counts = [0] * len(slots)
    for cleaner in cleaners:
        for index, bit in enumerate(reversed(f"{cleaner.starts(slots, length):b}")):
            if bit == "1":
                counts[index] += 1
    return counts


def free_time(  # noqa: PLR0913  # a question in full
    session: Session,
    day: date,
    zone: ZoneInfo,
    *,
    cleaner_id: str | None = None,
    apart_from: str | None = None,
    travel: Travel = NO_TRAVEL,
) -> list[FreeTime]:
    """All bookable cleaners with their time from the day before `day` to the day after it.

    Args:
        session: to read with.
        day: in `zone`.
        zone: BUSINESS_TIMEZONE.
        cleaner_id: only this one.
        apart_from: a booking whose own time counts as free, because it is to be moved.
        travel: to the visit that is looked for.
    """
    return free_times(session, [day], zone, cleaner_id=cleaner_id, apart_from=apart_from, travel=travel)


def free_times(  # noqa: PLR0913  # a question in full
    session: Session,
    days: Sequence[date],
    zone: ZoneInfo,
    *,
    cleaner_id: str | None = None,
    apart_from: str | None = None,
    travel: Travel = NO_TRAVEL,
) -> list[FreeTime]:
    """Like `free_time`, around several days that follow each other: a visit may cross midnight."""
    days = [days[0] - DAY, *days, days[-1] + DAY]
    cleaners = select(Cleaner.account_id).where(Cleaner.is_bookable)
    if cleaner_id is not None:
        cleaners = cleaners.where(Cleaner.account_id == cleaner_id)
    hours: dict[str, list[WorkingHours]] = defaultdict(list)
    for entry in session.exec(select(WorkingHours).where(col(WorkingHours.cleaner_id).in_(cleaners))):
        hours[entry.cleaner_id].append(entry)
    days_off: dict[str, list[DayOff]] = defaultdict(list)
    for off in session.exec(
        select(DayOff).where(
            col(DayOff.cleaner_id).in_(cleaners), DayOff.last_day >= days[0], DayOff.first_day <= days[-1]
        )
    ):
        days_off[off.cleaner_id].append(off)
    slots = Interval(moment(days[0], 0, zone), moment(days[-1], MIDNIGHT, zone)).slots
    bookings = select(BookingSlot.cleaner_id, BookingSlot.slot).where(
        col(BookingSlot.cleaner_id).in_(cleaners), BookingSlot.slot >= slots.start, BookingSlot.slot < slots.stop
    )
    if apart_from is not None:
        bookings = bookings.where(BookingSlot.booking_id != apart_from)
    taken: dict[str, list[int]] = defaultdict(list)
    for owner, slot in session.exec(bookings):
        taken[owner].append(slot)
    there = _slots_there(session, cleaners, slots, travel)
    found = []
    for each in session.exec(cleaners):
        busy = frozenset(taken[each])
        elsewhere = busy - there[each] if travel.slots else frozenset()
        shifts = working(hours[each], days_off[each], days, zone)
        found.append(FreeTime(each, shifts, busy, elsewhere, travel.slots))
    return found


def _slots_there(
    session: Session, cleaners: SelectOfScalar[str], slots: range, travel: Travel
) -> defaultdict[str, set[int]]:
    """By cleaner, the slots taken for visits at the address that `travel` names."""
    there: defaultdict[str, set[int]] = defaultdict(set)
    if not travel.slots or travel.address is None:
        return there
    if travel.visit is not None:  # what is further away does not matter
        near = travel.visit.slots
        slots = range(near.start - travel.slots, near.stop + travel.slots)
    place = place_of(travel.address)
    query = (
        select(BookingSlot.cleaner_id, BookingSlot.slot, BookingRecord.address)
        .join(BookingRecord, col(BookingRecord.id) == col(BookingSlot.booking_id))
        .where(
            col(BookingSlot.cleaner_id).in_(cleaners), BookingSlot.slot >= slots.start, BookingSlot.slot < slots.stop
        )
    )
    for owner, slot, address in session.exec(query):
        if place and place_of(address) == place:
            there[owner].add(slot)
    return there


def lock(session: Session, cleaner_id: str) -> bool:
    """Keep others from changing this cleaner's time until the end of the transaction.

    Returns:
        Whether somebody may have changed it since this transaction began: not where the database has one writer.
    """
    if session.get_bind().dialect.name == "sqlite":
        return False
    query = select(Cleaner.account_id).where(Cleaner.account_id == cleaner_id)
    session.exec(query.with_for_update(key_share=True)).one_or_none()
    return True


def take(session: Session, cleaner_id: str, booking_id: str, visit: Interval) -> None:
    """Write down that the cleaner's time is taken; the flush fails with IntegrityError when some of it is already."""
    session.add_all(BookingSlot(cleaner_id=cleaner_id, slot=slot, booking_id=booking_id) for slot in visit.slots)
    session.flush()


def release(session: Session, cleaner_id: str, booking_id: str, visit: Interval) -> None:
    """Give a booking's time back."""
    slots = visit.slots
    session.execute(
        delete(BookingSlot).where(
            col(BookingSlot.cleaner_id) == cleaner_id,
            col(BookingSlot.slot) >= slots.start,
            col(BookingSlot.slot) < slots.stop,
            col(BookingSlot.booking_id) == booking_id,
        )
    )


def taken(session: Session, cleaner_ids: Iterable[str], slots: range, *, apart_from: str) -> dict[str, int]:
    """How many of these slots each cleaner has taken, not counting one booking's; who has none is left out."""
    query = (
        select(BookingSlot.cleaner_id, func.count())
        .where(
            col(BookingSlot.cleaner_id).in_(cleaner_ids),
            col(BookingSlot.slot) >= slots.start,
            col(BookingSlot.slot) < slots.stop,
            col(BookingSlot.booking_id) != apart_from,
        )
        .group_by(col(BookingSlot.cleaner_id))
    )
    return dict(session.exec(query).all())
