"""What all tables share."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, TypeDecorator
from sqlmodel import SQLModel
from typing_extensions import override

# Names that do not depend on the database, so that a migration can drop a constraint on any of them.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

BIG = BigInteger().with_variant(Integer, "sqlite")
"""For keys that the database counts up; SQLite does so for plain integers only."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored in UTC; SQLite keeps no time zone, so it is taken off and put back here."""

    impl = DateTime
    cache_ok = True

    @property
    @override
    def python_type(self) -> type[datetime]:
        """What it is in Python; cursors of lists are checked against it."""
        return datetime

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database; a moment without a time zone is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """The current moment in UTC."""
    return datetime.now(UTC)


def identifier() -> str:
    """A new primary key: random, so that nobody can guess or count."""
    return str(uuid.uuid4())
