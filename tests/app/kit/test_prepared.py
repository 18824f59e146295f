"""Prepared queries give what SQLAlchemy would give."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from app.accounts.models import UserAccount
from app.kit import sqlite
from app.kit.prepared import Prepared

START = datetime(2026, 3, 1, tzinfo=UTC)


class Row(NamedTuple):
    """Of an account."""

    email: str
    created_at: datetime
    erased_at: datetime | None


NAMED = Prepared(
    select(col(UserAccount.email), col(UserAccount.created_at), col(UserAccount.erased_at))
    .where(
        col(UserAccount.email).in_(bindparam("among", expanding=True)), col(UserAccount.created_at) >= bindparam("at")
    )
    .order_by(col(UserAccount.email)),
    Row,
)


@pytest.fixture
def session(tmp_path: Path, migrated: Path) -> Iterator[Session]:
    """A session with five accounts, a day apart."""
    shutil.copy(migrated, tmp_path / "test.db")
    engine = sqlite.writer_engine(sqlite.DatabaseFile(tmp_path / "test.db"))
    with engine.connect() as connection, Session(connection) as session:
        session.add_all(
            UserAccount(
                email=f"{number}@example.com",
                password_hash="x",
                full_name="x",
                created_at=START + timedelta(days=number),
            )
            for number in range(5)
        )
        yield session
    engine.dispose()


@pytest.mark.parametrize("count", range(7))
def test_any_number_of_values(session: Session, count: int) -> None:
    wanted = [f"{number}@example.com" for number in range(count)]
    found = NAMED.rows(session, among=wanted, at=START)
    assert found == [Row(email, START + timedelta(days=day), None) for day, email in enumerate(wanted[:5])]


def test_values_and_columns_are_converted(session: Session) -> None:
    """Moments have a time zone on both sides, and what is not flushed yet is found."""
    late = NAMED.rows(session, among={"1@example.com", "2@example.com"}, at=START + timedelta(days=1, seconds=1))
    assert [each.email for each in late] == ["2@example.com"]
    assert late[0].created_at.tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        NAMED.rows(session, among=["1@example.com"], at=datetime(2026, 3, 1))  # noqa: DTZ001  # which is the point
