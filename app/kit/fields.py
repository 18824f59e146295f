"""Types of fields that several features' requests share."""

from pydantic import BeforeValidator


def _whole(value: object) -> object:
    # JSON knows one kind of number: 2.0 is the integer 2.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Together with `Field(strict=True)`: an integer, and not what can be taken for one, like text and booleans."""
