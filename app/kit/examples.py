"""Examples of the OpenAPI document that work when they are sent as they are.

In the code they are written for the morning of a certain Tuesday, for one e-mail address, key and service. Whoever gets
the document gets them for a morning to come, with an address and keys that nobody has used, and with a service that is
on offer: so `/docs` can be gone through from top to bottom, registration first.
"""

import re
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

WRITTEN = datetime(2026, 12, 1, 10, tzinfo=UTC)
"""The moment for which the examples in the code are written: `2026-12-01T10:00:00Z`, and `2026-12-01` for a day."""
KEY = "3f6c0c2e-5d0d-4c53-9a5b-6d1f0f6a9b11"
SERVICE = "7d1f6c0e-2b8a-4c1d-9f3e-5a6b7c8d9e01"
EXTRA = "5a1c9e7c-5a0f-4d2b-8a55-0f6f9b8f7a21"
ON_OFFER = {"service_id": SERVICE, "extra_id": EXTRA}
"""By name of a parameter or field: what stands for an id of the catalogue."""
MORNING = time(10)
WORKING_DAYS = range(5)
"""Of the week that a cleaner begins with: Monday to Friday."""
AHEAD = timedelta(days=1)
"""From the end of the company's notice to the example: for that long the document may be open."""
SLOT = timedelta(minutes=30)
STANDS = re.compile(
    r'"(?:(?P<at>2026-12-\d\dT\d\d:\d\d:\d\dZ)|(?P<day>2026-12-\d\d)|(?P<anna>anna[a-z.]*)@example\.com'
    rf"|(?P<key>{KEY})|(?P<service>{SERVICE})|(?P<extra>{EXTRA}))" + '"'
)


def next_visit(now: datetime, zone: ZoneInfo, notice: timedelta) -> datetime:
    """When the visit of the examples begins: ten o'clock, or up to a slot later, of a working day.

    Args:
        now: with a time zone.
        zone: the company's.
        notice: with which visits must be booked.
    """
    earliest = now + notice + AHEAD
    day = earliest.astimezone(zone).date()
    while True:
        start = datetime.combine(day, MORNING, zone).astimezone(UTC)
        start += timedelta(seconds=-start.timestamp() % SLOT.total_seconds())
        if start >= earliest and day.weekday() in WORKING_DAYS:
            return start
        day += timedelta(days=1)


class Fillable:
    """A document whose examples are still those of the code."""

    def __init__(self, document: str) -> None:
        """Find the examples.

        Args:
            document: as JSON.
        """
        found = list(STANDS.finditer(document))
        ends = [0, *(each.end() for each in found)]
        starts = [*(each.start() for each in found), len(document)]
        self._between = [document[end:start] for end, start in zip(ends, starts, strict=True)]
        self._found = [(each.lastgroup, each[each.lastgroup or 0]) for each in found]

    def filled(self, start: datetime, zone: ZoneInfo, on_offer: Mapping[str, str]) -> str:
        """The document with examples that work.

        Args:
            start: of the visit, see `next_visit`.
            zone: the company's: days are meant there.
            on_offer: ids of a service, and of an extra of it, by the names in ON_OFFER; what is missing stays.
        """
        later = start - WRITTEN
        days = start.astimezone(zone).date() - WRITTEN.date()
        nobody_yet = secrets.token_hex(4)

        def example(kind: str | None, text: str) -> str:
            if kind == "at":
                return f"{datetime.fromisoformat(text) + later:%Y-%m-%dT%H:%M:%SZ}"
            if kind == "day":
                return str(date.fromisoformat(text) + days)
            if kind == "anna":
                return f"{text}-{nobody_yet}@example.com"
            return str(uuid.uuid4()) if kind == "key" else on_offer.get(f"{kind}_id", text)

        filled = [f'"{example(kind, text)}"' for kind, text in self._found]
        return "".join(part for pair in zip(self._between, [*filled, ""], strict=True) for part in pair)


def of_schema(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "") -> Any:  # noqa: ANN401  # any JSON
    """An example of what the schema describes: of its required parts, and of those that have an example.

    Args:
        schema: JSON Schema.
        schemas: those that it may refer to, by name.
        name: of the field or parameter that has this schema.

    Returns:
        None when there is none.
    """
    stated = _stated(schema, name)
    if stated is not None:
        return stated
    if "$ref" in schema:
        return of_schema(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if schema.get("type") == "array":
        return [of_schema(schema["items"], schemas)]
    if schema.get("type") == "object":
        required = schema.get("required", ())
        parts = {name: of_schema(part, schemas, name) for name, part in schema.get("properties", {}).items()}
        return {name: part for name, part in parts.items() if part is not None or name in required}
    return None


def _stated(schema: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  # any JSON
    """The example that the schema itself, or the name, says; None when there is none."""
    if name in ON_OFFER:
        return ON_OFFER[name]
    for keyword in ("examples", "enum"):
        if keyword in schema:
            return schema[keyword][0]
    return schema.get("const")
