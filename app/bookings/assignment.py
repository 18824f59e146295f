"""Assignment of cleaners to bookings, and the slots that prevent overlapping visits.

The schema cannot enforce travel time, so the cleaner's calendar is locked before it is read.
"""

from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.bookings.models import BookingRecord
from app.bookings.problems import SlotUnavailable
from app.kit.problems import FieldError, ValidationFailed
from app.settings import Settings
from app.staff import calendar
from app.staff.calendar import CleanerCalendar, Interval, Travel


def visit_interval(booking: BookingRecord) -> Interval:
    """The interval of the booked visit."""
    return Interval(booking.starts_at, booking.ends_at)


def least_loaded_cleaner(session: Session, settings: Settings, booking: BookingRecord, visit: Interval) -> str:
    """Choose the free cleaner with the fewest slots taken on the visit's day, then in its week, then by id.

    Args:
        session: the transaction; the chosen cleaner's calendar stays locked until it ends.
        settings: BUSINESS_TIMEZONE (for days and for weeks, which start on Monday) and BOOKING_TRAVEL_MINUTES.
        booking: the booking to assign; its own current slots count as free.
        visit: the interval of the visit.

    Raises:
        SlotUnavailable: no cleaner is free.
    """
    zone = settings.zone
    day = visit.start.astimezone(zone).date()
    free = [each for each in _load_calendars(session, settings, booking, visit) if each.is_free(visit)]
    monday = day - timedelta(days=day.weekday())
    week = Interval(
        calendar.local_to_utc(monday, 0, zone), calendar.local_to_utc(monday + timedelta(days=7), 0, zone)
    ).slots
    of_week = calendar.count_reserved(session, [each.cleaner_id for each in free], week, except_booking_id=booking.id)
    of_day = frozenset(calendar.day_interval(day, zone).slots)

    def load(candidate: CleanerCalendar) -> tuple[int, int, str]:
        return len(candidate.reserved & of_day), of_week.get(candidate.cleaner_id, 0), candidate.cleaner_id

    for candidate in sorted(free, key=load):
        if not calendar.lock_cleaner(session, candidate.cleaner_id):
            return candidate.cleaner_id
        if is_free(session, settings, booking, candidate.cleaner_id, visit):  # may have changed before the lock
            return candidate.cleaner_id
    raise SlotUnavailable


def require_free(session: Session, settings: Settings, booking: BookingRecord, cleaner_id: str) -> None:
    """Check that the cleaner can take the booking at its time, and lock the cleaner's calendar.

    Raises:
        ValidationFailed: the cleaner does not exist or cannot be booked.
        SlotUnavailable: the cleaner does not work then, has another visit, or has no time to travel.
    """
    calendar.lock_cleaner(session, cleaner_id)
    visit = visit_interval(booking)
    found = _load_calendars(session, settings, booking, visit, cleaner_id)
    if not found:
        wrong = FieldError(location="body", field="cleaner_id", code="unknown", message="There is no such cleaner")
        raise ValidationFailed(errors=[wrong])
    if not found[0].is_free(visit):
        raise SlotUnavailable("This cleaner is not free at that time.")


def is_free(session: Session, settings: Settings, booking: BookingRecord, cleaner_id: str, visit: Interval) -> bool:
    """Whether the cleaner could take the booking in the interval `visit`; locks the cleaner's calendar."""
    calendar.lock_cleaner(session, cleaner_id)
    found = _load_calendars(session, settings, booking, visit, cleaner_id)
    return bool(found) and found[0].is_free(visit)


def reserve_slots(session: Session, booking: BookingRecord) -> None:
    """Reserve the assigned cleaner's slots; the database refuses slots of another visit.

    Raises:
        SlotUnavailable: a concurrent transaction has reserved a slot; this transaction must be rolled back.
    """
    if booking.cleaner_id is None:
        return
    session.flush()  # so that an IntegrityError below can only come from the slots
    try:
        calendar.reserve(session, booking.cleaner_id, booking.id, visit_interval(booking))
    except IntegrityError as error:
        raise SlotUnavailable from error


def release_slots(session: Session, booking: BookingRecord) -> None:
    """Release the assigned cleaner's slots."""
    if booking.cleaner_id is not None:
        calendar.release(session, booking.cleaner_id, booking.id, visit_interval(booking))


def _load_calendars(
    session: Session, settings: Settings, booking: BookingRecord, visit: Interval, cleaner_id: str | None = None
) -> list[CleanerCalendar]:
    return calendar.load_calendars(
        session,
        [visit.start.astimezone(settings.zone).date()],
        settings.zone,
        cleaner_id=cleaner_id,
        except_booking_id=booking.id,
        travel=Travel(calendar.slots_in(settings.booking_travel_minutes), booking.address, visit),
    )
