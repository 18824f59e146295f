"""Who goes: a free cleaner, the least loaded first; and the slots that keep two visits from meeting."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.bookings.models import Booking
from app.bookings.problems import SlotUnavailable
from app.kit.problems import FieldError, ValidationFailed
from app.staff import calendar
from app.staff.calendar import FreeTime, Interval


def visit_of(booking: Booking) -> Interval:
    """When it takes place."""
    return Interval(booking.starts_at, booking.ends_at)


def least_loaded(session: Session, zone: ZoneInfo, booking: Booking, visit: Interval) -> str:
    """The cleaner to send: free, then with the fewest slots taken that business day, then that week, then by id.

    Args:
        session: to read with.
        zone: BUSINESS_TIMEZONE; days and weeks (from Monday) are counted in it.
        booking: its own present time counts as free.
        visit: when it is to be.

    Raises:
        SlotUnavailable: nobody is free.
    """
    day = visit.start.astimezone(zone).date()
    free = [each for each in calendar.free_time(session, day, zone, apart_from=booking.id) if each.is_free(visit)]
    if not free:
        raise SlotUnavailable
    monday = day - timedelta(days=day.weekday())
    week = Interval(calendar.moment(monday, 0, zone), calendar.moment(monday + timedelta(days=7), 0, zone)).slots
    of_week = calendar.taken(session, [each.cleaner_id for each in free], week, apart_from=booking.id)
    of_day = frozenset(calendar.day_interval(day, zone).slots)

    def load(candidate: FreeTime) -> tuple[int, int, str]:
        return len(candidate.taken & of_day), of_week.get(candidate.cleaner_id, 0), candidate.cleaner_id

    return min(free, key=load).cleaner_id


def require_free(session: Session, zone: ZoneInfo, booking: Booking, cleaner_id: str) -> None:
    """Check that this cleaner can take the booking at its time.

    Raises:
        ValidationFailed: there is no such cleaner, or they cannot be booked.
        SlotUnavailable: they do not work then, or are elsewhere.
    """
    found = _free_time(session, zone, booking, cleaner_id, visit_of(booking))
    if found is None:
        wrong = FieldError(location="body", field="cleaner_id", code="unknown", message="There is no such cleaner")
        raise ValidationFailed(errors=[wrong])
    if not found.is_free(visit_of(booking)):
        raise SlotUnavailable("This cleaner is not free at that time.")


def is_free(session: Session, zone: ZoneInfo, booking: Booking, cleaner_id: str, visit: Interval) -> bool:
    """Whether this cleaner could take the booking at another time."""
    found = _free_time(session, zone, booking, cleaner_id, visit)
    return found is not None and found.is_free(visit)


def occupy(session: Session, booking: Booking) -> None:
    """Take the assigned cleaner's time, which is where the database refuses what meets another visit.

    Raises:
        SlotUnavailable: somebody else was faster; the transaction cannot go on.
    """
    if booking.cleaner_id is None:
        return
    session.flush()  # the booking itself first: what fails below is the slots
    try:
        calendar.take(session, booking.cleaner_id, booking.id, visit_of(booking))
    except IntegrityError as error:
        raise SlotUnavailable from error


def vacate(session: Session, booking: Booking) -> None:
    """Give the assigned cleaner's time back."""
    if booking.cleaner_id is not None:
        calendar.release(session, booking.cleaner_id, booking.id, visit_of(booking))


def _free_time(session: Session, zone: ZoneInfo, booking: Booking, cleaner_id: str, visit: Interval) -> FreeTime | None:
    day = visit.start.astimezone(zone).date()
    found = calendar.free_time(session, day, zone, cleaner_id=cleaner_id, apart_from=booking.id)
    return found[0] if found else None
