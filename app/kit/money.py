"""Amounts of money as people read them.

An amount is a whole number of the currency's minor unit as ISO 4217 has it: 9900 is 99.00 EUR, 9900 JPY and 9.900 KWD.
Babel is imported where it is needed, and only there: with the data of one language it takes 10 MB.
"""

from decimal import Decimal

# fmt: off
NONE = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
)
# fmt: on
THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
DIGITS = dict.fromkeys(NONE, 0) | dict.fromkeys(THREE, 3) | {"CLF": 4, "UYW": 4}
"""Decimal places of the currencies that have not two (ISO 4217, list one). Babel's own figures say how a currency is
usually shown, which is not what amounts are counted in: without decimals for COP, HUF and IDR, among others."""


def is_currency(code: str) -> bool:
    """Whether this is the code of a currency (ISO 4217)."""
    from babel.core import get_global  # noqa: PLC0415  # see above

    return code in get_global("all_currencies")


def formatted(amount: int, currency: str, language: str) -> str:
    """Write an amount with its currency.

    Args:
        amount: in minor units.
        currency: ISO 4217.
        language: whose way of writing it is; a code that Babel has data for.
    """
    from babel.core import Locale  # noqa: PLC0415  # see above
    from babel.numbers import format_currency, get_currency_symbol  # noqa: PLC0415

    digits = DIGITS.get(currency, 2)
    locale = Locale.parse(language)
    usual = locale.currency_formats["standard"].pattern
    pattern = usual.replace("0.00", f"0.{'0' * digits}" if digits else "0")
    if get_currency_symbol(currency, locale)[-1].isalpha():
        pattern = pattern.replace("¤#", "¤\N{NO-BREAK SPACE}#")  # CLDR's alphaNextToNumber, which Babel does not know
    value = Decimal(amount).scaleb(-digits)
    return format_currency(value, currency, pattern, locale=locale, currency_digits=False)
