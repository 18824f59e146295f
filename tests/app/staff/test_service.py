"""The staff service: changes of roles, availability, reserved time, ratings, export and erasure."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from app.kit.actor import Role
from app.kit.problems import NotFound
from app.staff.calendar import CleanerCalendar, Interval, load_calendars, release, reserve, slot_start
from app.staff.models import BookingSlot, Cleaner, DayOff, WorkingHours
from app.staff.schemas import Availability
from tests.app.reviews.bookings import insert_booking
from tests.app.staff.conftest import Company

MONDAY = date(2026, 12, 7)
BEFORE = datetime(2026, 12, 1, tzinfo=UTC)
NINE_TO_NOON = (0, 540, 720)


def utc(hour: int, minute: int = 0, day: int = 7) -> datetime:
    """A time in December 2026; Berlin is one hour ahead."""
    return datetime(2026, 12, day, hour, minute, tzinfo=UTC)


def availability_at(  # noqa: PLR0913, PLR0917  # the arguments of the service
    company: Company, first: date, days: int, duration: int, at: datetime = BEFORE, address: str | None = None
) -> Availability:
    return company.read(lambda session: company.staff.availability_at(session, first, days, duration, at, address))


def starts(answer: Availability) -> list[tuple[datetime, int]]:
    return [(slot.starts_at, slot.cleaners) for day in answer.days for slot in day.slots]


def cleaner(company: Company, cleaner_id: str) -> Cleaner | None:
    return company.read(lambda session: session.get(Cleaner, cleaner_id))


def change_role(company: Company, account_id: str, role: Role, *, is_active: bool = True) -> None:
    company.write(lambda session: company.staff.role_changed(session, account_id, role, is_active))


def hours(company: Company, cleaner_id: str) -> set[tuple[int, int, int]]:
    query = select(WorkingHours).where(WorkingHours.cleaner_id == cleaner_id)
    return company.read(lambda session: {(row.weekday, row.starts, row.ends) for row in session.exec(query)})


def test_new_cleaner_works_from_monday_to_friday(company: Company) -> None:
    account = company.account("client")
    change_role(company, account, Role.CLEANER)
    made = cleaner(company, account)
    assert made is not None
    assert made.is_bookable
    assert hours(company, account) == {(day, 540, 1020) for day in range(5)}


@pytest.mark.parametrize("role", [Role.CLIENT, Role.MANAGER, Role.ADMIN])
def test_other_roles_create_no_cleaner(company: Company, role: Role) -> None:
    account = company.account("client")
    change_role(company, account, role)
    assert cleaner(company, account) is None


@pytest.mark.parametrize(("role", "is_active"), [(Role.CLIENT, True), (Role.CLEANER, False), (Role.MANAGER, False)])
def test_only_active_cleaners_are_bookable_and_working_hours_are_kept(
    company: Company, role: Role, *, is_active: bool
) -> None:
    account = company.cleaner(NINE_TO_NOON)
    change_role(company, account, role, is_active=is_active)
    gone = cleaner(company, account)
    assert gone is not None
    assert not gone.is_bookable
    assert starts(availability_at(company, MONDAY, 1, 60)) == []
    change_role(company, account, Role.CLEANER)
    back = cleaner(company, account)
    assert back is not None
    assert back.is_bookable
    assert hours(company, account) == {NINE_TO_NOON}


def test_inactive_cleaner_is_not_bookable(company: Company) -> None:
    account = company.account("client")
    change_role(company, account, Role.CLEANER, is_active=False)
    made = cleaner(company, account)
    assert made is not None
    assert not made.is_bookable


def test_slots_count_cleaners_free_for_the_whole_visit(company: Company) -> None:
    company.cleaner(NINE_TO_NOON)
    company.cleaner((0, 600, 720))
    answer = availability_at(company, MONDAY, 2, 90)
    assert [day.date for day in answer.days] == [MONDAY, date(2026, 12, 8)]
    assert starts(answer) == [(utc(8), 1), (utc(8, 30), 1), (utc(9), 2), (utc(9, 30), 2)]
    assert answer.days[0].slots[0].ends_at == utc(9, 30)
    assert answer.timezone == "Europe/Berlin"


def test_visit_across_midnight_belongs_to_its_first_day(company: Company) -> None:
    company.cleaner((0, 1380, 1440), (1, 0, 60))
    answer = availability_at(company, MONDAY, 2, 90)
    assert [len(day.slots) for day in answer.days] == [2, 0]
    assert starts(answer) == [(utc(22), 1), (utc(22, 30), 1)]


def test_days_off_are_not_available(company: Company) -> None:
    owner = company.cleaner((0, 540, 600), (1, 540, 600))
    company.write(lambda session: session.add(DayOff(cleaner_id=owner, first_day=MONDAY, last_day=MONDAY)))
    assert starts(availability_at(company, MONDAY, 2, 60)) == [(utc(8, day=8), 1)]


def test_availability_respects_notice_and_horizon(company: Company) -> None:
    company.cleaner(NINE_TO_NOON)
    # The defaults: 2 hours, 90 days.
    assert starts(availability_at(company, MONDAY, 1, 60, utc(7))) == [(utc(9), 1), (utc(9, 30), 1), (utc(10), 1)]
    assert starts(availability_at(company, MONDAY, 1, 60, utc(7, 1)))[0] == (utc(9, 30), 1)
    horizon = utc(9) - timedelta(days=90)
    assert starts(availability_at(company, MONDAY, 1, 60, horizon)) == [(utc(8), 1), (utc(8, 30), 1)]
    assert starts(availability_at(company, MONDAY, 14, 60, horizon - timedelta(days=1))) == []
    assert starts(availability_at(company, date(2200, 12, 31), 14, 60)) == []
    assert len(availability_at(company, date(2000, 1, 1), 14, 60).days) == 14


def free_of(company: Company, owner: str, except_booking_id: str | None = None) -> CleanerCalendar:
    zone = company.settings.zone
    [found] = company.read(
        lambda session: load_calendars(session, [MONDAY], zone, cleaner_id=owner, except_booking_id=except_booking_id)
    )
    return found


def test_reserved_time_is_not_free_until_it_is_released(company: Company) -> None:
    owner, other = company.cleaner(NINE_TO_NOON), company.cleaner(NINE_TO_NOON)
    booking = insert_booking(company.path, company.account("client"), owner)
    hour = Interval(utc(9), utc(10))
    company.write(lambda session: reserve(session, owner, booking, hour))
    assert not free_of(company, owner).is_free(hour)
    assert free_of(company, owner, except_booking_id=booking).is_free(hour)
    assert free_of(company, other).is_free(hour)
    travelling = [(utc(8), 1), (utc(8, 30), 1), (utc(9), 1), (utc(9, 30), 1), (utc(10), 1)]
    assert starts(availability_at(company, MONDAY, 1, 60)) == travelling
    assert starts(availability_at(company, MONDAY, 1, 60, address="Street 2")) == travelling
    assert starts(availability_at(company, MONDAY, 1, 60, address="street 1")) == [
        (utc(8), 2),
        (utc(8, 30), 1),
        (utc(9), 1),
        (utc(9, 30), 1),
        (utc(10), 2),
    ]
    overlapping = Interval(utc(9, 30), utc(10, 30))
    with pytest.raises(IntegrityError):
        company.write(lambda session: reserve(session, owner, booking, overlapping))
    company.write(lambda session: release(session, owner, booking, hour))
    assert free_of(company, owner).is_free(hour)


def test_release_frees_only_the_slots_of_its_booking(company: Company) -> None:
    owner, client = company.cleaner(NINE_TO_NOON), company.account("client")
    first, second = insert_booking(company.path, client, owner), insert_booking(company.path, client, owner)
    company.write(lambda session: reserve(session, owner, first, Interval(utc(8), utc(9))))
    company.write(lambda session: reserve(session, owner, second, Interval(utc(9), utc(10))))
    company.write(lambda session: release(session, owner, first, Interval(utc(8), utc(10))))
    left = company.read(lambda session: session.exec(select(BookingSlot.slot).order_by(col(BookingSlot.slot))).all())
    assert [slot_start(slot) for slot in left] == [utc(9), utc(9, 30)]


def test_profile_shows_the_average_rating(company: Company) -> None:
    owner = company.account(name="Anna Petrova")
    change_role(company, owner, Role.CLEANER)
    assert company.read(lambda session: company.staff.profile(session, owner)).rating is None

    def rate(session: Session) -> None:
        for stars in (5, 4, 4):
            company.staff.add_rating(session, owner, stars)

    company.write(rate)
    profile = company.read(lambda session: company.staff.profile(session, owner))
    assert (profile.full_name, profile.rating, profile.rating_count) == ("Anna Petrova", 4.33, 3)
    unknown = company.account("client")
    assert company.read(lambda session: set(company.staff.profiles(session, [owner, unknown]))) == {owner}
    with pytest.raises(NotFound):
        company.read(lambda session: company.staff.profile(session, unknown))


def test_reasons_of_days_off_are_exported_and_erased(company: Company) -> None:
    owner, other = company.cleaner(NINE_TO_NOON), company.cleaner(NINE_TO_NOON)

    def add(session: Session) -> None:
        for each in (owner, other):
            session.add(DayOff(cleaner_id=each, first_day=MONDAY, last_day=MONDAY, reason="Wedding"))

    company.write(add)
    exported = company.read(lambda session: company.staff.export(session, owner))
    assert isinstance(exported, dict)
    assert exported["working_hours"] == [{"weekday": 0, "starts": "09:00", "ends": "12:00"}]
    assert [(each["first_day"], each["reason"]) for each in exported["days_off"]] == [("2026-12-07", "Wedding")]
    assert company.read(lambda session: company.staff.export(session, company.account("client"))) is None

    company.write(lambda session: company.staff.erase(session, owner))
    rows = company.read(lambda session: {row.cleaner_id: row.reason for row in session.exec(select(DayOff))})
    assert rows == {owner: "", other: "Wedding"}
    erased = cleaner(company, owner)
    assert erased is not None
    assert not erased.is_bookable


def test_number_of_statements_does_not_depend_on_the_number_of_cleaners(company: Company) -> None:
    client, first = company.account("client"), company.cleaner()
    booking = insert_booking(company.path, client, first)
    begin = int(utc(0).timestamp()) // 1800
    taken = [begin + day * 48 + slot for day in range(14) for slot in range(14, 34) if slot % 5]

    def ask(session: Session) -> tuple[Availability, int]:
        statements = []

        def record(*execution: object) -> None:
            statements.append(execution[2])

        event.listen(session.get_bind(), "before_cursor_execute", record)
        answer = company.staff.availability_at(session, MONDAY, 14, 30, BEFORE, "Street 1")
        event.remove(session.get_bind(), "before_cursor_execute", record)
        return answer, len(statements)

    _, of_one = company.read(ask)
    company.add_cleaners(200, [(day, 480, 1080) for day in range(7)], booking, taken)
    answer, of_many = company.read(ask)
    assert starts(answer)[0] == (utc(7, 30), 200)
    assert 0 < of_many == of_one
