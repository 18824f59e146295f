"""Examples for a morning to come."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.kit.examples import EXTRA, KEY, SERVICE, Fillable, next_visit, of_schema

FRIDAY = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "notice", "expected"),
    [
        ("UTC", 0, "2026-11-30 10:00"),  # Saturday is a day ahead
        ("UTC", 72, "2026-12-02 10:00"),
        ("Europe/Berlin", 2, "2026-11-30 10:00"),
        ("Asia/Kathmandu", 2, "2026-11-30 10:15"),  # visits begin on half hours of UTC
        ("Pacific/Kiritimati", 2, "2026-11-30 10:00"),
        ("Pacific/Pago_Pago", 2, "2026-11-30 10:00"),
        ("UTC", 720, "2026-12-29 10:00"),
    ],
)
def test_the_next_visit_is_on_a_working_morning(zone: str, notice: int, expected: str) -> None:
    found = next_visit(FRIDAY, ZoneInfo(zone), timedelta(hours=notice))
    assert f"{found.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" == expected
    assert found.timestamp() % 1800 == 0


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham"])
def test_it_is_always_ahead(zone: str) -> None:
    for hour in range(0, 366 * 24, 5):
        now = FRIDAY + timedelta(hours=hour)
        found = next_visit(now, ZoneInfo(zone), timedelta(hours=2))
        local = found.astimezone(ZoneInfo(zone))
        assert timedelta(hours=26) <= found - now < timedelta(days=5)
        assert local.weekday() < 5
        assert local.hour == 10


def test_what_stands_for_something_is_replaced_and_all_else_stays() -> None:
    text = json.dumps(["2026-12-01T10:00:00Z", "2026-12-01", "2026-12-31", "2026-12-01T11:30:00Z", KEY, KEY, SERVICE])
    start = datetime(2027, 3, 4, 21, tzinfo=UTC)
    *times, first_key, second_key, service = json.loads(
        Fillable(text).filled(start, ZoneInfo("Pacific/Auckland"), {"service_id": "mine"})
    )
    # The day is the company's: the fifth has begun there.
    assert times == ["2027-03-04T21:00:00Z", "2027-03-05", "2027-04-04", "2027-03-04T22:30:00Z"]
    assert len({first_key, second_key, KEY}) == 3
    assert service == "mine"
    untouched = json.dumps({"2026": EXTRA, "x": "on 2026-12-01", "y": "2025-12-01", "z": "hannah@example.com"})
    assert Fillable(untouched).filled(start, ZoneInfo("UTC"), {}) == untouched


def test_addresses_are_new_and_the_same_within_a_document() -> None:
    text = json.dumps(["anna@example.com", "anna@example.com", "anna.petrova@example.com"])
    documents = [json.loads(Fillable(text).filled(FRIDAY, ZoneInfo("UTC"), {})) for _ in range(2)]
    for first, second, other in documents:
        assert first == second != other
    assert documents[0] != documents[1]


def test_an_example_has_what_is_required_and_what_has_an_example() -> None:
    schemas = {
        "Color": {"type": "string", "enum": ["red", "blue"]},
        "Thing": {
            "type": "object",
            "required": ["name", "color"],
            "properties": {
                "name": {"type": "string", "examples": ["Chair"]},
                "color": {"$ref": "#/components/schemas/Color"},
                "kind": {"const": "thing", "type": "string"},
                "note": {"type": "string"},
                "service_id": {"type": "string"},
                "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Color"}},
            },
        },
    }
    assert of_schema({"$ref": "#/components/schemas/Thing"}, schemas) == {
        "name": "Chair",
        "color": "red",
        "kind": "thing",
        "service_id": SERVICE,
        "parts": ["red"],
    }
