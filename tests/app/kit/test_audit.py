"""The audit log: nobody can change what it says, and every question to it uses an index."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from pysqlite3 import dbapi2
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.accounts.models import UserAccount
from app.bookings.models import BookingRecord
from app.catalog.models import CleaningService
from app.kit import audit, sqlite
from app.kit.models import now
from app.kit.pagination import Paging


@pytest.fixture
def session(tmp_path: Path, migrated: Path) -> Iterator[Session]:
    """A session on a real database."""
    shutil.copy(migrated, tmp_path / "test.db")
    engine = sqlite.writer_engine(sqlite.DatabaseFile(tmp_path / "test.db"))
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_an_entry_says_who_did_what_to_whom_from_where(session: Session) -> None:
    with structlog.contextvars.bound_contextvars(client="192.0.2.1", request_id="r1"):
        audit.record(session, "role.changed", actor_id="boss", subject_id="anna", before="client", after="cleaner")
    session.commit()
    (entry,), cursor = audit.listing(session, Paging())
    assert cursor is None
    assert (entry.action, entry.actor_id, entry.subject_id) == ("role.changed", "boss", "anna")
    assert (entry.address, entry.request_id) == ("192.0.2.1", "r1")
    assert entry.details == {"before": "client", "after": "cleaner"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor_id = 'somebody else'",
        "DELETE FROM audit_entry",
        "DELETE FROM audit_entry WHERE id = 1",
        "INSERT OR REPLACE INTO audit_entry (id, at, action, details) VALUES (1, '2026-01-01', 'other', '{}')",
        "UPDATE OR REPLACE audit_entry SET action = 'other'",
        """INSERT INTO audit_entry (id, at, action, details) VALUES (1, '2026-01-01', 'x', '{}')
           ON CONFLICT (id) DO UPDATE SET action = excluded.action""",
    ],
)
def test_nothing_can_be_changed_or_deleted(session: Session, statement: str) -> None:
    audit.record(session, "login.succeeded", actor_id="anna")
    session.commit()
    with pytest.raises(IntegrityError, match="append-only"):
        session.connection().exec_driver_sql(statement)
    session.rollback()
    (entry,), _ = audit.listing(session, Paging())
    assert (entry.id, entry.action, entry.actor_id) == (1, "login.succeeded", "anna")


def test_the_newest_come_first_page_by_page_and_filters_combine(session: Session) -> None:
    for number in range(6):
        audit.record(session, f"action.{number % 2}", actor_id=f"actor{number % 3}", subject_id=f"subject{number}")
    session.commit()
    found: list[int | None] = []
    cursor: str | None = None
    while True:
        page, cursor = audit.listing(session, Paging(2, cursor))
        found += [entry.id for entry in page]
        if cursor is None:
            break
    assert found == [6, 5, 4, 3, 2, 1]

    def ids(**filters: Any) -> list[int | None]:  # noqa: ANN401  # of any filter
        return [entry.id for entry in audit.listing(session, Paging(), **filters)[0]]

    assert ids(actions=["action.1"]) == [6, 4, 2]
    assert ids(actor_id="actor0") == [4, 1]
    assert ids(subject_id="subject2") == [3]
    assert ids(actions=["action.1"], actor_id="actor0") == [4]
    assert ids(actions=["action.1"], actor_id="actor0", subject_id="subject2") == []


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"actor_id": "x"}, "ix_audit_entry_actor_id_id"),
        ({"subject_id": "x"}, "ix_audit_entry_subject_id_id"),
        ({"actions": ["x"]}, "ix_audit_entry_action_id"),
    ],
)
@pytest.mark.parametrize("later", [False, True], ids=["first page", "later page"])
def test_each_filter_uses_its_index_and_sorts_nothing(
    session: Session,
    filters: dict[str, Any],
    index: str,
    later: bool,  # noqa: FBT001
) -> None:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, dbapi2.Connection)
    for _ in range(3):
        audit.record(session, "x", actor_id="x", subject_id="x")
    session.flush()
    cursor = audit.listing(session, Paging(1))[1] if later else None
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    audit.listing(session, Paging(1, cursor), **filters)
    connection.set_trace_callback(None)
    (statement,) = statements
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert len(plan) == 1
    assert plan[0].startswith("SEARCH")
    assert f"USING INDEX {index} " in plan[0]


ERASED, LIVING = "erased", "living"


def add_entry(session: Session, days: int, **values: Any) -> int:  # noqa: ANN401  # of any type that a column has
    """An entry of so many days ago with an address; returns its id."""
    entry = audit.AuditEntry(at=now() - timedelta(days=days), action="x", address="192.0.2.1", **values)
    session.add(entry)
    session.commit()
    assert entry.id is not None
    return entry.id


def add_people(session: Session) -> None:
    """One who is erased, with a booking of the same name, and one who is not."""
    service = CleaningService(name="Cleaning")
    for name in (ERASED, LIVING):
        account = UserAccount(id=name, email=f"{name}@example.com", password_hash="!", full_name="A")
        account.erased_at = now() if name == ERASED else None
        session.add_all([account, service])
        session.flush()
        session.add(
            BookingRecord(
                id=f"of the {name}",
                reference=name,
                client_id=name,
                service_id=service.id,
                service_name="Cleaning",
                starts_at=now(),
                ends_at=now() + timedelta(hours=1),
                address="",
                price=1,
                currency="EUR",
                quote={},
            )
        )
    session.commit()


@pytest.mark.parametrize(
    ("days", "values", "allowed"),
    [
        (91, {"actor_id": LIVING}, True),
        (91, {}, True),
        (89, {"actor_id": LIVING, "subject_id": LIVING}, False),
        (89, {}, False),
        (0, {"actor_id": ERASED, "subject_id": LIVING}, True),
        (0, {"subject_id": ERASED}, True),
        (0, {"actor_id": LIVING, "subject_id": ERASED}, False),
        (0, {"subject_id": "of the erased"}, True),
        (0, {"subject_id": "of the living"}, False),
        (0, {"actor_id": LIVING, "subject_id": "of the erased"}, False),
    ],
)
def test_only_an_address_leaves_and_only_in_time(
    session: Session,
    days: int,
    values: dict[str, object],
    allowed: bool,  # noqa: FBT001
) -> None:
    add_people(session)
    entry = add_entry(session, days, **values)
    columns = [name for _, name, *_ in session.connection().exec_driver_sql("PRAGMA table_info(audit_entry)")]
    refused = [f"UPDATE audit_entry SET address = '192.0.2.2' WHERE id = {entry}"]  # noqa: S608  # own words
    refused += [
        f"UPDATE audit_entry SET {name} = '7', address = NULL WHERE id = {entry}"  # noqa: S608
        for name in columns
        if name != "address"
    ]
    removal = f"UPDATE audit_entry SET address = NULL WHERE id = {entry}"  # noqa: S608
    for statement in refused:
        with pytest.raises(IntegrityError, match="append-only"):
            session.connection().exec_driver_sql(statement)
        session.rollback()
    if allowed:
        session.connection().exec_driver_sql(removal)
    else:
        with pytest.raises(IntegrityError, match="append-only"):
            session.connection().exec_driver_sql(removal)


def test_addresses_are_removed_after_their_time_a_few_at_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PRUNE", 2)
    for days in (100, 95, 91, 89, 0):
        add_entry(session, days)
    add_people(session)
    assert [audit.prune(session) for _ in range(3)] == [2, 1, 0]
    session.commit()
    session.expire_all()
    assert [entry.address is None for entry in audit.listing(session, Paging())[0]] == [False, False, True, True, True]


def test_finding_old_addresses_uses_an_index_that_holds_only_those_left(session: Session) -> None:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, dbapi2.Connection)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    audit.prune(session)
    connection.set_trace_callback(None)
    (plan,) = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")]
    assert "USING INDEX ix_audit_entry_at " in plan
