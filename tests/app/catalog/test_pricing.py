"""Calculation of quotes."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import pricing
from app.catalog.models import CleaningService, ServiceExtra
from app.catalog.problems import VisitTooLong
from app.catalog.schemas import MAXIMUM_MINUTES, ExtraChoice, Quote, QuoteRequest
from app.kit.models import identifier
from app.kit.problems import ValidationFailed

PRICES = st.integers(0, 10_000_000)


def service(**rule: int) -> CleaningService:
    values: dict[str, Any] = dict(rule)
    return CleaningService(name="Regular", **values)


def extra(name: str = "Windows", price: int = 0, minutes: int = 0, maximum_quantity: int = 5) -> ServiceExtra:
    return ServiceExtra(
        service_id=identifier(), name=name, price=price, minutes=minutes, maximum_quantity=maximum_quantity
    )


def quote(
    of: CleaningService,
    measures: dict[str, int] | None = None,
    extras: Sequence[ServiceExtra] = (),
    choices: Sequence[ExtraChoice] = (),
) -> Quote:
    wanted: dict[str, Any] = {**(measures or {}), "extras": list(choices)}
    return pricing.calculate_quote(of, extras, QuoteRequest(service_id=of.id, **wanted), "EUR")


SERVICES = st.builds(
    service,
    base_price=PRICES,
    price_per_square_metre=PRICES,
    price_per_room=PRICES,
    price_per_hour=PRICES,
    base_minutes=st.integers(0, 60),
    seconds_per_square_metre=st.integers(0, 30),
    minutes_per_room=st.integers(0, 20),
)
EXTRA_LISTS = st.lists(st.builds(extra, price=PRICES, minutes=st.integers(0, 30)), max_size=4)
MEASURES = st.fixed_dictionaries(
    {"square_metres": st.integers(1, 200), "rooms": st.integers(1, 10), "hours": st.integers(1, 4)}
)


@given(SERVICES, EXTRA_LISTS, MEASURES, st.data())
def test_total_is_the_sum_of_items_and_duration_a_multiple_of_30_minutes(
    of: CleaningService, extras: list[ServiceExtra], measures: dict[str, int], data: st.DataObject
) -> None:
    chosen = [ExtraChoice(extra_id=each.id, quantity=data.draw(st.integers(1, 5))) for each in extras]
    try:
        result = quote(of, measures, extras, chosen)
    except VisitTooLong:
        # The refusal is justified: with maximum quantities, the durations exceed the maximum before rounding.
        minutes: float = of.base_minutes + of.minutes_per_room * measures["rooms"] + 60 * measures["hours"]
        minutes += of.seconds_per_square_metre * measures["square_metres"] / 60
        assert minutes + sum(each.minutes * 5 for each in extras) > MAXIMUM_MINUTES - 30
        return
    assert result.total == sum(item.amount for item in result.items)
    assert all(item.amount == item.quantity * item.unit_price >= 0 for item in result.items)
    assert result.duration_minutes % 30 == 0
    assert 30 <= result.duration_minutes <= MAXIMUM_MINUTES
    assert [item.quantity for item in result.items if item.kind == "extra"] == [each.quantity for each in chosen]


@given(SERVICES, MEASURES, st.sampled_from(["square_metres", "rooms", "hours"]))
def test_larger_measures_never_reduce_price_or_duration(
    of: CleaningService, measures: dict[str, int], grows: str
) -> None:
    larger = measures | {grows: measures[grows] + 1}
    try:
        more = quote(of, larger)
    except VisitTooLong:
        return
    less = quote(of, measures)
    assert less.total <= more.total
    assert less.duration_minutes <= more.duration_minutes


@given(SERVICES, MEASURES)
def test_exactly_the_priced_or_timed_measures_are_required(of: CleaningService, measures: dict[str, int]) -> None:
    needed = pricing.required_measures(of)
    for name in measures:
        without = {key: value for key, value in measures.items() if key != name}
        if name in needed:
            with pytest.raises(ValidationFailed) as raised:
                quote(of, without)
            assert raised.value.errors is not None
            assert [(error.field, error.code) for error in raised.value.errors] == [(name, "missing")]
        else:
            try:
                assert quote(of, without) == quote(of, measures)
            except VisitTooLong:
                continue


def test_quote_is_itemised() -> None:
    of = service(base_price=1500, price_per_square_metre=150, base_minutes=20, seconds_per_square_metre=90)
    windows = extra(price=500, minutes=15)
    result = quote(of, {"square_metres": 61}, [windows], [ExtraChoice(extra_id=windows.id, quantity=3)])
    assert [(item.kind, item.quantity, item.unit_price, item.amount) for item in result.items] == [
        ("base", 1, 1500, 1500),
        ("square_metres", 61, 150, 9150),
        ("extra", 3, 500, 1500),
    ]
    assert (result.total, result.currency) == (12150, "EUR")
    assert result.duration_minutes == 180  # 20 + 91.5, rounded up to 92, + 45 = 157


def test_time_for_the_area_is_rounded_up() -> None:
    of = service(seconds_per_square_metre=1)
    for seconds, minutes in ((1799, 30), (1800, 30), (1801, 60)):
        assert quote(of, {"square_metres": seconds}).duration_minutes == minutes


def test_service_without_rates_is_free_and_lasts_30_minutes() -> None:
    result = quote(service())
    assert (result.total, result.duration_minutes) == (0, 30)
    assert pricing.required_measures(service()) == []


@pytest.mark.parametrize(("base", "hours", "fits"), [(0, 12, True), (1, 12, False), (660, 1, True), (661, 1, False)])
def test_longest_visit_is_twelve_hours(base: int, hours: int, fits: bool) -> None:  # noqa: FBT001  # a parameter of the test
    of = service(base_minutes=base, price_per_hour=100)
    if fits:
        assert quote(of, {"hours": hours}).duration_minutes == MAXIMUM_MINUTES
    else:
        with pytest.raises(VisitTooLong):
            quote(of, {"hours": hours})


WINDOWS = extra(maximum_quantity=2)


@pytest.mark.parametrize(
    ("choices", "field", "code"),
    [
        ([ExtraChoice(extra_id=identifier())], "extras.0.extra_id", "unknown"),
        ([ExtraChoice(extra_id=WINDOWS.id)] * 2, "extras.1.extra_id", "repeated"),
        ([ExtraChoice(extra_id=WINDOWS.id, quantity=3)], "extras.0.quantity", "too_many"),
    ],
)
def test_invalid_extras_are_reported_by_field(choices: list[ExtraChoice], field: str, code: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        quote(service(), extras=[WINDOWS], choices=choices)
    assert raised.value.errors is not None
    assert [(error.field, error.code) for error in raised.value.errors] == [(field, code)]
