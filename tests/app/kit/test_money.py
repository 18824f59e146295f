"""Amounts as people read them: the currency's own decimals, the reader's language."""

import pytest

from app.kit.money import DIGITS, formatted, is_currency

NO_BREAK = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("amount", "currency", "english", "russian"),
    [
        (9900, "EUR", "€99.00", "99,00 €"),
        (9900, "JPY", "¥9,900", "9 900 ¥"),
        (12500, "KWD", "KWD 12.500", "12,500 KWD"),
        (12345, "CLF", "CLF 1.2345", "1,2345 CLF"),
        (123456, "RUB", "RUB 1,234.56", "1 234,56 ₽"),
        (990000, "HUF", "HUF 9,900.00", "9 900,00 HUF"),  # Unicode CLDR shows these without decimals, ISO 4217 has two
        (990000, "IDR", "IDR 9,900.00", "9 900,00 IDR"),
        (1, "USD", "$0.01", "0,01 $"),
        (0, "JPY", "¥0", "0 ¥"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(amount: int, currency: str, english: str, russian: str) -> None:
    assert formatted(amount, currency, "en").replace(NO_BREAK, " ") == english
    assert formatted(amount, currency, "ru").replace(NO_BREAK, " ") == russian


def test_only_the_codes_of_currencies_are_currencies() -> None:
    assert all(is_currency(code) for code in ("EUR", "JPY", *DIGITS))
    assert not any(is_currency(code) for code in ("ABC", "euro", "EUR ", "eur", ""))


def test_a_booking_made_in_a_currency_that_is_not_known_any_more_can_still_be_told() -> None:
    assert formatted(9900, "ABC", "en").replace(NO_BREAK, " ") == "ABC 99.00"
