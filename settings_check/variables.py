"""Checks a role's variables against the types in its meta/argument_specs.yml and against the rules."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any

from settings_check.rules import CONFLICTS, RULES, no_conflicts

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
_INVISIBLE = ("Cc", "Zl", "Zp")  # Unicode categories of control characters, line separators and paragraph separators
_LIST_OF = {"str": (str, "strings"), "dict": (dict, "dictionaries")}


class InvalidValueError(Exception):
    """A value is invalid; the message continues a sentence that begins with the variable's name."""


def complaints(role: str, options: Mapping[str, Mapping[str, Any]], values: Mapping[str, object]) -> list[str]:
    """Return a sentence for each invalid variable or conflict.

    Args:
        role: the role's name.
        options: the role's argument specification.
        values: the variables' values. Numbers and booleans may be strings, as from `-e name=0`.
    """
    typed = {name: _converted_or_error(name, option, values[name]) for name, option in options.items()}
    found = [f"{name} {value}." for name, value in typed.items() if isinstance(value, InvalidValueError)]
    return found or list(CONFLICTS.get(role, no_conflicts)(typed))


def _converted_or_error(name: str, option: Mapping[str, Any], value: object) -> object:
    try:
        return _checked(name, option, value)
    except InvalidValueError as error:
        return error


def _checked(name: str, option: Mapping[str, Any], value: object) -> object:
    """Return a value, converted to its type and checked against its rule.

    Raises:
        InvalidValueError: the value has another type, or breaks its rule.
    """
    if any(unicodedata.category(letter) in _INVISIBLE for text in _texts(value) for letter in text):
        raise InvalidValueError("contains a line break or another control character, often at its end: remove it")
    shown = "" if option.get("no_log") else f"; it is '{shorten(str(value), 100)}'"
    if option.get("choices") and value not in option["choices"]:
        *others, last = map(str, option["choices"])
        raise InvalidValueError(f"must be {', '.join(others)} or {last}{shown}")
    rule = RULES.get(name)
    try:
        found = _converted(option, value)
    except TypeError as error:
        raise InvalidValueError(f"must be {rule.wanted if rule else error}{shown}") from None
    if rule and not rule.accepts(found):
        raise InvalidValueError(f"must be {rule.wanted}{shown}")
    return found


def _converted(option: Mapping[str, Any], value: object) -> object:
    """Return a value, converted to its type.

    Raises:
        TypeError: the value has another type; the message names the required one.
    """
    if option["type"] == "int":
        if isinstance(value, bool) or not isinstance(value, int | str) or not _WHOLE.fullmatch(str(value)):
            raise TypeError("a whole number")
        return int(value)
    if option["type"] == "bool":
        if str(value).lower() not in _BOOLEANS:
            raise TypeError("true or false")
        return _BOOLEANS[str(value).lower()]
    if option["type"] == "list":
        kind, plural = _LIST_OF[option["elements"]]
        if not isinstance(value, list) or not all(isinstance(each, kind) for each in value):
            raise TypeError(f"a list of {plural}")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("a string")
    return str(value)


def _texts(value: object) -> Iterator[str]:
    """Yield all strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (*_texts(key), *_texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
