"""Calendars of cleaners. Working hours are in local time; all other times are in UTC."""

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
MINUTES_PER_DAY = 24 * 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, order=True)
class Interval:
    """A half-open interval of time (UTC): the start is included, the end is not."""

    start: datetime
    end: datetime

    def contains(self, other: "Interval") -> bool:
        """Whether the other interval lies within this one."""
        return self.start <= other.start and other.end <= self.end

    @property
    def slots(self) -> range:
        """All slots that overlap the interval."""
        return range((self.start - EPOCH) // SLOT, _slot_from(self.end))

    @property
    def whole_slots(self) -> range:
        """The slots that lie completely within the interval."""
        return range(_slot_from(self.start), (self.end - EPOCH) // SLOT)

    @property
    def starting_slots(self) -> range:
        """The slots that begin within the interval. Of adjacent intervals, each slot begins in exactly one."""
        return range(_slot_from(self.start), _slot_from(self.end))


def slot_start(slot: int) -> datetime:
    """Return the time (UTC) at which a slot begins."""
    return EPOCH + slot * SLOT


def is_slot_boundary(at: datetime) -> bool:
    """Whether a slot begins at this time."""
    return not (at - EPOCH) % SLOT


def slots_in(minutes: int) -> int:
    """Convert minutes to a number of slots, rounded up."""
    return -(-minutes // SLOT_MINUTES)


def _slot_from(at: datetime) -> int:
    """Return the first slot that begins at this time or later."""
    return -((EPOCH - at) // SLOT)


@lru_cache(maxsize=4096)
def local_to_utc(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """Convert a local time, in minutes after midnight (0 to 1440), to UTC.

    A local time that a clock change skips becomes the time of the change. A local time that occurs twice becomes its
    first occurrence. So the result never decreases with the local time, and skipped time has no duration.
    """
    if minutes == MINUTES_PER_DAY:
        day, minutes = day + DAY, 0
    local = datetime.combine(day, time(minutes // 60, minutes % 60), zone)
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    if before is None or after is None or after <= before:
        return local.astimezone(UTC)
    # A skipped local time (PEP 495): with the new offset it lies before the change, with the old offset after it.
    return _clock_change(local.replace(fold=1).astimezone(UTC), local.astimezone(UTC), zone)


def _clock_change(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """Return the time of the only clock change after `early` and up to `late`, with a binary search."""
    before = early.astimezone(zone).utcoffset()
    while late - early > SECOND:
        middle = early + (late - early) // SECOND // 2 * SECOND
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def day_interval(day: date, zone: ZoneInfo) -> Interval:
    """Return the whole local day. It is empty if the time zone skips the day."""
    return Interval(local_to_utc(day, 0, zone), local_to_utc(day, MINUTES_PER_DAY, zone))


def working_intervals(
    hours: Iterable[WorkingHours], days_off: Iterable[DayOff], days: Iterable[date], zone: ZoneInfo
) -> list[Interval]:
    """Return the intervals in which a cleaner works on these days, in order. Adjacent shifts become one interval.

    A shift across midnight has two entries. A day off removes only the entry of its own day.
    """
    by_weekday: dict[int, list[WorkingHours]] = defaultdict(list)
    for each in hours:
        by_weekday[each.weekday].append(each)
    days_off = list(days_off)
    found = sorted(
        (local_to_utc(day, each.starts, zone), local_to_utc(day, each.ends, zone))
        for day in days
        if not any(off.first_day <= day <= off.last_day for off in days_off)
        for each in by_weekday[day.weekday()]
    )
    merged: list[Interval] = []
    for start, end in found:
        if end <= start:  # a clock change skips the whole shift
            continue
        if merged and start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, end))
        else:
            merged.append(Interval(start, end))
    return merged


@dataclass(frozen=True)
class CleanerCalendar:
    """The working and the reserved time of a bookable cleaner on the requested days."""

    cleaner_id: str
    shifts: Sequence[Interval]
    """In order; they are not adjacent."""
    reserved: frozenset[int]
    """Reserved slots."""
    reserved_elsewhere: frozenset[int] = frozenset()
    """Those reserved slots that are at another address than the visit."""
    travel_slots: int = 0
    """Number of slots needed to travel between two addresses."""

    def works_at(self, visit: Interval) -> bool:
        """Whether the whole visit lies within a shift."""
        return any(each.contains(visit) for each in self.shifts)

    def is_free(self, visit: Interval) -> bool:
        """Whether the visit lies within a shift, overlaps no reserved slot, and leaves time to travel."""
        slots = visit.slots
        with_travel = range(slots.start - self.travel_slots, slots.stop + self.travel_slots)
        return (
            self.reserved.isdisjoint(slots) and self.reserved_elsewhere.isdisjoint(with_travel) and self.works_at(visit)
        )

    def possible_starts(self, slots: range, length: int) -> int:
        """Return a bit set: bit i says whether a visit of `length` slots can begin at slots[i]."""
        end = slots.stop + length - 1
        free = 0
        for each in self.shifts:
            whole = each.whole_slots
            first, stop = max(whole.start, slots.start), min(whole.stop, end)
            if first < stop:
                free |= ((1 << stop - first) - 1) << first - slots.start
        free &= ~self._blocked(range(slots.start, end))
        # After each round, a set bit means that `known` slots from that one on are free.
        known = 1
        while known < length:
            step = min(known, length - known)
            free &= free >> step
            known += step
        return free & (1 << len(slots)) - 1

    def _blocked(self, slots: range) -> int:
        """Return a bit set: bit i says whether a visit must not overlap slots[i]."""
        first, stop = slots.start - self.travel_slots, slots.stop + self.travel_slots
        blocked = _bits(self.reserved_elsewhere, first, stop)
        for _ in range(self.travel_slots):
            blocked |= blocked << 1 | blocked >> 1
        return (blocked | _bits(self.reserved, first, stop)) >> self.travel_slots


def _bits(slots: Iterable[int], first: int, stop: int) -> int:
    """Return a bit set: bit i says whether `slots` contains slot `first + i`. Ignores slots from `stop` on."""
    bits = 0
    for slot in slots:
        if first <= slot < stop:
            bits |= 1 << slot - first
    return bits


@dataclass(frozen=True)
class Travel:
    """The travel time before and after a requested visit."""

    slots: int = 0
    """Number of slots needed to travel between two addresses."""
    address: str | None = None
    """Address of the visit; None if unknown. Then every other visit counts as at another address."""
    visit: Interval | None = None
    """Time of the visit; None for any time."""


NO_TRAVEL = Travel()


def count_free(calendars: Iterable[CleanerCalendar], slots: range, length: int) -> list[int]:
    """Return, for each slot, the number of cleaners who are free for a visit of `length` slots that begins there."""
    counts = [0] * len(slots)
    for calendar in calendars:
        for index, bit in enumerate(reversed(f"{calendar.possible_starts(slots, length):b}")):
            if bit == "1":
                counts[index] += 1
    return counts


def load_calendars(  # noqa: PLR0913  # the conditions of the query
    session: Session,
    days: Sequence[date],
    zone: ZoneInfo,
    *,
    cleaner_id: str | None = None,
    except_booking_id: str | None = None,
    travel: Travel = NO_TRAVEL,
) -> list[CleanerCalendar]:
    """Load the calendars of all bookable cleaners, from the day before `days` to the day after them.

    Args:
        session: to read with.
        days: consecutive days, in `zone`. The days around them are loaded too, because a visit can cross midnight.
        zone: BUSINESS_TIMEZONE.
        cleaner_id: only this cleaner.
        except_booking_id: a booking whose slots count as free, because the booking is being moved.
        travel: travel time of the requested visit.
    """
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
    slots = Interval(local_to_utc(days[0], 0, zone), local_to_utc(days[-1], MINUTES_PER_DAY, zone)).slots
    bookings = select(BookingSlot.cleaner_id, BookingSlot.slot).where(
        col(BookingSlot.cleaner_id).in_(cleaners), BookingSlot.slot >= slots.start, BookingSlot.slot < slots.stop
    )
    if except_booking_id is not None:
        bookings = bookings.where(BookingSlot.booking_id != except_booking_id)
    reserved_slots: dict[str, list[int]] = defaultdict(list)
    for owner, slot in session.exec(bookings):
        reserved_slots[owner].append(slot)
    at_address = _slots_at_address(session, cleaners, slots, travel)
    calendars = []
    for each in session.exec(cleaners):
        reserved = frozenset(reserved_slots[each])
        reserved_elsewhere = reserved - at_address[each] if travel.slots else frozenset()
        shifts = working_intervals(hours[each], days_off[each], days, zone)
        calendars.append(CleanerCalendar(each, shifts, reserved, reserved_elsewhere, travel.slots))
    return calendars


def _slots_at_address(
    session: Session, cleaners: SelectOfScalar[str], slots: range, travel: Travel
) -> defaultdict[str, set[int]]:
    """Return the slots reserved for visits at the address of `travel`, by cleaner."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    if not travel.slots or travel.address is None:
        return found
    if travel.visit is not None:  # only visits within the travel time matter
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
            found[owner].add(slot)
    return found


def lock_cleaner(session: Session, cleaner_id: str) -> bool:
    """Lock the cleaner's calendar until the end of the transaction.

    Returns:
        Whether another transaction may have changed the calendar since this one began; False for SQLite, which has one
        writer.
    """
    if session.get_bind().dialect.name == "sqlite":
        return False
    query = select(Cleaner.account_id).where(Cleaner.account_id == cleaner_id)
    session.exec(query.with_for_update(key_share=True)).one_or_none()
    return True


def reserve(session: Session, cleaner_id: str, booking_id: str, visit: Interval) -> None:
    """Reserve the slots of a visit. Raises IntegrityError if one of them is already reserved."""
    session.add_all(BookingSlot(cleaner_id=cleaner_id, slot=slot, booking_id=booking_id) for slot in visit.slots)
    session.flush()


def release(session: Session, cleaner_id: str, booking_id: str, visit: Interval) -> None:
    """Release the slots of a booking."""
    slots = visit.slots
    session.execute(
        delete(BookingSlot).where(
            col(BookingSlot.cleaner_id) == cleaner_id,
            col(BookingSlot.slot) >= slots.start,
            col(BookingSlot.slot) < slots.stop,
            col(BookingSlot.booking_id) == booking_id,
        )
    )


def count_reserved(
    session: Session, cleaner_ids: Iterable[str], slots: range, *, except_booking_id: str
) -> dict[str, int]:
    """Count the reserved slots of each cleaner, without those of one booking. Leaves out cleaners without any."""
    query = (
        select(BookingSlot.cleaner_id, func.count())
        .where(
            col(BookingSlot.cleaner_id).in_(cleaner_ids),
            col(BookingSlot.slot) >= slots.start,
            col(BookingSlot.slot) < slots.stop,
            col(BookingSlot.booking_id) != except_booking_id,
        )
        .group_by(col(BookingSlot.cleaner_id))
    )
    return dict(session.exec(query).all())
