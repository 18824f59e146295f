"""Calculates itemised quotes in integer arithmetic."""

from collections.abc import Sequence

from app.catalog.models import CleaningService, ServiceExtra
from app.catalog.problems import VisitTooLong
from app.catalog.schemas import MAXIMUM_MINUTES, ExtraChoice, Measure, Quote, QuoteItem, QuoteRequest
from app.kit.problems import FieldError, ValidationFailed

DURATION_STEP = 30  # minutes, the length of a slot


def required_measures(service: CleaningService) -> list[Measure]:
    """The measures that a quote for this service requires."""
    needed: dict[Measure, int] = {
        "square_metres": service.price_per_square_metre or service.seconds_per_square_metre,
        "rooms": service.price_per_room or service.minutes_per_room,
        "hours": service.price_per_hour,
    }
    return [name for name, used in needed.items() if used]


def calculate_quote(
    service: CleaningService, extras: Sequence[ServiceExtra], request: QuoteRequest, currency: str
) -> Quote:
    """Calculate price and duration.

    Args:
        service: the requested service.
        extras: all active extras of this service.
        request: measures and chosen extras.
        currency: ISO 4217 code.

    Raises:
        ValidationFailed: a measure is missing, or an extra is unknown, repeated or exceeds its maximum quantity.
        VisitTooLong: the duration exceeds MAXIMUM_MINUTES.
    """
    _require_measures(service, request)
    metres, rooms, hours = request.square_metres or 0, request.rooms or 0, request.hours or 0
    items = [_item("base", service.name, 1, service.base_price)]
    for kind, quantity, price in (
        ("square_metres", metres, service.price_per_square_metre),
        ("rooms", rooms, service.price_per_room),
        ("hours", hours, service.price_per_hour),
    ):
        if price:
            items.append(_item(kind, service.name, quantity, price))
    minutes = (
        service.base_minutes + service.minutes_per_room * rooms + -(-service.seconds_per_square_metre * metres // 60)
    )
    if service.price_per_hour:
        minutes += hours * 60
    for extra, quantity in _chosen_extras(extras, request.extras):
        items.append(_item("extra", extra.name, quantity, extra.price))
        minutes += extra.minutes * quantity
    minutes = max(DURATION_STEP, -(-minutes // DURATION_STEP) * DURATION_STEP)
    if minutes > MAXIMUM_MINUTES:
        raise VisitTooLong
    return Quote(
        service_id=service.id,
        service_name=service.name,
        items=items,
        total=sum(item.amount for item in items),
        currency=currency,
        duration_minutes=minutes,
    )


def _require_measures(service: CleaningService, request: QuoteRequest) -> None:
    missing = [name for name in required_measures(service) if getattr(request, name) is None]
    if missing:
        raise ValidationFailed(
            errors=[
                FieldError(location="body", field=name, code="missing", message=f"{service.name} requires this measure")
                for name in missing
            ]
        )


def _chosen_extras(extras: Sequence[ServiceExtra], choices: Sequence[ExtraChoice]) -> list[tuple[ServiceExtra, int]]:
    known = {extra.id: extra for extra in extras}
    chosen: dict[str, tuple[ServiceExtra, int]] = {}
    for number, choice in enumerate(choices):
        extra = known.get(choice.extra_id)
        if extra is None:
            raise _wrong_extra(number, "extra_id", "unknown", "This service has no such extra")
        if extra.id in chosen:
            raise _wrong_extra(number, "extra_id", "repeated", "List each extra once, with its quantity")
        if choice.quantity > extra.maximum_quantity:
            raise _wrong_extra(number, "quantity", "too_many", f"At most {extra.maximum_quantity}")
        chosen[extra.id] = (extra, choice.quantity)
    return list(chosen.values())


def _wrong_extra(number: int, field: str, code: str, message: str) -> ValidationFailed:
    wrong = FieldError(location="body", field=f"extras.{number}.{field}", code=code, message=message)
    return ValidationFailed(errors=[wrong])


def _item(kind: str, name: str, quantity: int, price: int) -> QuoteItem:
    return QuoteItem.model_validate(
        {"kind": kind, "name": name, "quantity": quantity, "unit_price": price, "amount": quantity * price}
    )
