"""Whether a role's variables are of the types that its meta/argument_specs.yml names, and keep their rules."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any

from settings_check.rules import RELATIONS, RULES, of_none

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
_INVISIBLE = ("Cc", "Zl", "Zp")  # Unicode's categories of control characters, and of ends of lines and paragraphs
_LIST_OF = {"str": (str, "strings"), "dict": (dict, "dictionaries")}


class WrongError(Exception):
    """A value is wrong; the text is what follows the variable's name in a sentence."""


def complaints(role: str, options: Mapping[str, Mapping[str, Any]], values: Mapping[str, object]) -> list[str]:
    """Say what is wrong, a sentence each.

    Args:
        role: the role's name.
        options: its variables, as its argument specification has them.
        values: what they are. A number, true or false may come as text, as from `-e name=0`.
    """
    typed = {name: _typed_or_wrong(name, option, values[name]) for name, option in options.items()}
    found = [f"{name} {value}." for name, value in typed.items() if isinstance(value, WrongError)]
    return found or list(RELATIONS.get(role, of_none)(typed))


def _typed_or_wrong(name: str, option: Mapping[str, Any], value: object) -> object:
    try:
        return _typed(name, option, value)
    except WrongError as error:
        return error


def _typed(name: str, option: Mapping[str, Any], value: object) -> object:
    """Return a value in its type.

    Raises:
        WrongError: it is not of that type, or breaks its rule.
    """
    if any(unicodedata.category(letter) in _INVISIBLE for text in _texts(value) for letter in text):
        raise WrongError("holds a line break or another control character (a value's last one, often): take it out")
    shown = "" if option.get("no_log") else f"; it is '{shorten(str(value), 100)}'"
    if option.get("choices") and value not in option["choices"]:
        *others, last = map(str, option["choices"])
        raise WrongError(f"must be {', '.join(others)} or {last}{shown}")
    rule = RULES.get(name)
    try:
        found = _converted(option, value)
    except TypeError as error:
        raise WrongError(f"must be {rule.wanted if rule else error}{shown}") from None
    if rule and not rule.accepts(found):
        raise WrongError(f"must be {rule.wanted}{shown}")
    return found


def _converted(option: Mapping[str, Any], value: object) -> object:
    """Return a value in its type.

    Raises:
        TypeError: it is of another one; the text is what it should be.
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
    """Return all strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (*_texts(key), *_texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
