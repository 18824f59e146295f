"""Inserts bookings directly into the database."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pysqlite3 import dbapi2

from app.kit.models import identifier

SERVICE = (
    "INSERT INTO cleaning_service (id, name, description, position, base_price, price_per_square_metre, price_per_room,"
    " price_per_hour, base_minutes, seconds_per_square_metre, minutes_per_room, is_active, version, created_at,"
    " updated_at) VALUES (?, 'Of a test', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, ?, ?)"
)
BOOKING = (
    "INSERT INTO booking (id, reference, client_id, cleaner_id, service_id, service_name, state, starts_at, ends_at,"
    " address, notes, price, currency, quote, cancellation_fee, version, created_at, updated_at)"
    " VALUES (?, ?, ?, ?, ?, 'Of a test', ?, ?, ?, 'Street 1', '', 100, 'EUR',"
    """ '{"items": [], "square_metres": null, "rooms": null, "hours": null}', 0, 1, ?, ?)"""
)


def insert_booking(database: Path, client_id: str, cleaner_id: str, state: str = "completed") -> str:
    """Insert a booking of yesterday without slots; return its id."""
    booking, service = identifier(), identifier()
    start = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0) - timedelta(days=1)
    at, end = (moment.isoformat(sep=" ") for moment in (start, start + timedelta(hours=2)))
    connection = dbapi2.connect(database, timeout=20)
    with connection:
        connection.execute(SERVICE, (service, at, at))
        reference = secrets.token_hex(5).upper()
        connection.execute(BOOKING, (booking, reference, client_id, cleaner_id, service, state, at, end, at, at))
    connection.close()
    return booking
