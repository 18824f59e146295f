"""Tables of the catalogue."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, String, true
from sqlmodel import Field, SQLModel

from app.kit.models import UtcDateTime, identifier, now


class CleaningService(SQLModel, table=True):
    """A cleaning service with the rates for its price and duration."""

    __tablename__: ClassVar[str] = "cleaning_service"
    __table_args__ = (
        CheckConstraint(
            "base_price >= 0 AND price_per_square_metre >= 0 AND price_per_room >= 0 AND price_per_hour >= 0",
            name="prices",
        ),
        Index(None, "is_active", "position", "id"),
        Index(None, "position", "id"),
    )

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    name: str = Field(sa_type=String(100))
    description: str = Field(default="", sa_type=String(1000))
    position: int = 0
    """Position in lists, smallest first."""
    base_price: int = 0
    """Like all prices in minor units of the company's currency (CURRENCY)."""
    price_per_square_metre: int = 0
    price_per_room: int = 0
    price_per_hour: int = 0
    base_minutes: int = 0
    seconds_per_square_metre: int = 0
    minutes_per_room: int = 0
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    version: int = 1
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime, sa_column_kwargs={"onupdate": now})


class ServiceExtra(SQLModel, table=True):
    """An optional addition to a service, for example windows."""

    __tablename__: ClassVar[str] = "service_extra"
    __table_args__ = (
        CheckConstraint("price >= 0 AND minutes >= 0 AND maximum_quantity >= 1", name="amounts"),
        Index(None, "service_id", "position", "id"),
    )

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    service_id: str = Field(sa_type=String(36), foreign_key="cleaning_service.id")
    name: str = Field(sa_type=String(100))
    position: int = 0
    price: int = 0
    """Per unit."""
    minutes: int = 0
    """Per unit."""
    maximum_quantity: int = 1
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    version: int = 1
