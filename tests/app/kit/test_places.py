"""Spellings of one address are one place, and different addresses are not."""

import pytest

from app.kit.places import place_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Main Street 5, 10115 Berlin", "main street 5\u00a010115  BERLIN."),
        ("Hauptstraße 5", "HAUPTSTRASSE 5"),
        ("ул. Ленина, д. 5", "Ул Ленина Д 5"),
        ("Café 1", "Cafe\u0301 1"),
    ],
)
def test_spellings_of_one_place(one: str, other: str) -> None:
    assert place_of(one) == place_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Street 5 1", "Street 51"), ("Street 5", "Street 6"), ("गली १", "गला १"), ("!", "?"), ("!", "")]
)
def test_different_places(one: str, other: str) -> None:
    assert place_of(one) != place_of(other)
