"""Rules on booking times and cancellation fees."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bookings import policy
from app.bookings.models import BookingRecord
from app.bookings.problems import TooEarly, TooLate, TooSoon
from app.settings import Settings

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def settings(**changes: int) -> Settings:
    return Settings.model_validate({"secret_key": "s" * 32, "canary_token": "c" * 32} | changes)


def visit(starts_at: datetime, price: int = 10000) -> BookingRecord:
    return BookingRecord(
        reference="ABCDEFGH",
        client_id="client",
        service_id="service",
        service_name="Cleaning",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        address="",
        price=price,
        currency="EUR",
        quote={},
    )


def test_notice() -> None:
    two = settings(booking_notice_hours=2)
    policy.require_bookable(two, AT + timedelta(hours=2), AT, in_office=False)
    with pytest.raises(TooSoon, match="2 hours"):
        policy.require_bookable(two, AT + timedelta(hours=2) - TICK, AT, in_office=False)
    policy.require_bookable(two, AT, AT, in_office=True)
    with pytest.raises(TooSoon, match="in the past"):
        policy.require_bookable(two, AT - TICK, AT, in_office=True)


@pytest.mark.parametrize("in_office", [False, True])
def test_horizon(in_office: bool) -> None:  # noqa: FBT001  # a parameter of the test
    ninety = settings(booking_horizon_days=90)
    policy.require_bookable(ninety, AT + timedelta(days=90), AT, in_office=in_office)
    with pytest.raises(TooLate, match="90 days"):
        policy.require_bookable(ninety, AT + timedelta(days=90) + TICK, AT, in_office=in_office)


def test_visit_within_notice_period_cannot_be_rescheduled() -> None:
    two = settings(booking_notice_hours=2, cancellation_fee_percent=0)
    policy.require_reschedulable(two, visit(AT + timedelta(hours=2)), AT)
    with pytest.raises(TooSoon):
        policy.require_reschedulable(two, visit(AT + timedelta(hours=2) - TICK), AT)


def test_rescheduling_does_not_avoid_the_fee() -> None:
    day = settings(booking_notice_hours=2, cancellation_free_hours=24, cancellation_fee_percent=50)
    last = visit(AT + timedelta(hours=24))
    assert policy.cancellation_fee(day, last, AT) == 0
    policy.require_reschedulable(day, last, AT)
    late = visit(AT + timedelta(hours=24) - TICK)
    assert policy.cancellation_fee(day, late, AT) > 0
    with pytest.raises(TooSoon, match="24 hours"):
        policy.require_reschedulable(day, late, AT)


def test_cancelling_is_free_up_to_and_including_the_deadline() -> None:
    day = settings(cancellation_free_hours=24, cancellation_fee_percent=50)
    booking = visit(AT)
    last = AT - timedelta(hours=24)
    assert policy.free_cancellation_until(day, booking.starts_at) == last
    assert policy.cancellation_fee(day, booking, last) == 0
    assert policy.cancellation_fee(day, booking, last + TICK) == 5000
    assert policy.cancellation_fee(day, booking, AT + timedelta(hours=1)) == 5000


@pytest.mark.parametrize(
    ("price", "percent", "fee"),
    [(1, 50, 1), (3, 50, 2), (99, 33, 33), (149, 1, 1), (150, 1, 2), (9, 0, 0), (7, 100, 7)],
)
def test_half_a_minor_unit_is_rounded_up(price: int, percent: int, fee: int) -> None:
    some = settings(cancellation_fee_percent=percent)
    assert policy.cancellation_fee(some, visit(AT, price), AT) == fee


@given(price=st.integers(0, 2**31 - 1), percent=st.integers(0, 100))
def test_fee_never_exceeds_the_price(price: int, percent: int) -> None:
    fee = policy.cancellation_fee(settings(cancellation_fee_percent=percent), visit(AT, price), AT)
    assert 0 <= fee <= price
    assert abs(100 * fee - price * percent) <= 50


def test_visit_can_be_started_two_hours_early() -> None:
    policy.require_startable(visit(AT + timedelta(hours=2)), AT)
    with pytest.raises(TooEarly):
        policy.require_startable(visit(AT + timedelta(hours=2) + TICK), AT)


def test_no_show_requires_start_time_reached() -> None:
    policy.require_start_time_reached(visit(AT), AT, "Not yet")
    policy.require_start_time_reached(visit(AT - timedelta(hours=1)), AT, "Not yet")
    with pytest.raises(TooEarly, match="Not yet"):
        policy.require_start_time_reached(visit(AT + TICK), AT, "Not yet")
