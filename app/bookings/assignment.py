"""Who goes: a free cleaner, the least loaded first; and the slots that keep two visits from meeting.

That a cleaner has time to travel is no rule of the schema, so the cleaner's calendar is locked before it is looked at.
"""

from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.bookings.models import Booking
from app.bookings.problems import SlotUnavailable
from app.kit.problems import FieldError, ValidationFailed
from app.settings import Settings
from app.staff import calendar
from app.staff.calendar import CleanerCalendar, Interval, Travel


def visit_of(booking: Booking) -> Interval:
    """When it takes place."""
    return Interval(booking.starts_at, booking.ends_at)


def least_loaded(session: Session, settings: Settings, booking: Booking, visit: Interval) -> str:
    """The cleaner to send: free, then with the fewest slots taken that business day, then that week, then by id.

    Args:
        session: to read with; nobody else changes the cleaner's time until the end of its transaction.
        settings: BUSINESS_TIMEZONE, in which days and weeks (from Monday) are counted, and BOOKING_TRAVEL_MINUTES.
        booking: its own present time counts as free.
        visit: when it is to be.

    Raises:
        SlotUnavailable: nobody is free.
    """
    zone = settings.zone
    day = visit.start.astimezone(zone).date()
    free = [each for each in _free_times(session, settings, booking, visit) if each.is_free(visit)]
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
        if is_free(session, settings, booking, candidate.cleaner_id, visit):  # still
            return candidate.cleaner_id
    raise SlotUnavailable


def require_free(session: Session, settings: Settings, booking: Booking, cleaner_id: str) -> None:
    """Check that this cleaner can take the booking at its time; it stays so until the end of the transaction.

    Raises:
        ValidationFailed: there is no such cleaner, or they cannot be booked.
        SlotUnavailable: they do not work then, are elsewhere, or could not get there in time.
    """
    calendar.lock_cleaner(session, cleaner_id)
    visit = visit_of(booking)
    found = _free_times(session, settings, booking, visit, cleaner_id)
    if not found:
        wrong = FieldError(location="body", field="cleaner_id", code="unknown", message="There is no such cleaner")
        raise ValidationFailed(errors=[wrong])
    if not found[0].is_free(visit):
        raise SlotUnavailable("This cleaner is not free at that time.")


def is_free(session: Session, settings: Settings, booking: Booking, cleaner_id: str, visit: Interval) -> bool:
    """Whether this cleaner could take the booking at another time; it stays so until the end of the transaction."""
    calendar.lock_cleaner(session, cleaner_id)
    found = _free_times(session, settings, booking, visit, cleaner_id)
    return bool(found) and found[0].is_free(visit)


def occupy(session: Session, booking: Booking) -> None:
    """Take the assigned cleaner's time, which is where the database refuses what meets another visit.

    Raises:
        SlotUnavailable: somebody else was faster; the transaction cannot go on.
    """
    if booking.cleaner_id is None:
        return
    session.flush()  # the booking itself first: what fails below is the slots
    try:
        calendar.reserve(session, booking.cleaner_id, booking.id, visit_of(booking))
    except IntegrityError as error:
        raise SlotUnavailable from error


def vacate(session: Session, booking: Booking) -> None:
    """Give the assigned cleaner's time back."""
    if booking.cleaner_id is not None:
        calendar.release(session, booking.cleaner_id, booking.id, visit_of(booking))


def _free_times(
    session: Session, settings: Settings, booking: Booking, visit: Interval, cleaner_id: str | None = None
) -> list[CleanerCalendar]:
    return calendar.load_calendars(
        session,
        [visit.start.astimezone(settings.zone).date()],
        settings.zone,
        cleaner_id=cleaner_id,
        except_booking_id=booking.id,
        travel=Travel(calendar.slots_in(settings.booking_travel_minutes), booking.address, visit),
    )
