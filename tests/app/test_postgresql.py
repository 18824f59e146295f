"""The schema and its constraints on PostgreSQL, which a larger installation can use."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session, SQLModel

from app.accounts import sessions
from app.accounts.people import people
from app.accounts.service import Accounts
from app.bookings import assignment, queries
from app.bookings.duplicates import refuse_duplicate
from app.bookings.problems import DuplicateBooking, SlotUnavailable
from app.kit import audit
from app.kit.idempotency import Attempt, RequestInProgress
from app.kit.migrations import DIRECTORY
from app.kit.models import now
from app.kit.pagination import Paging
from app.settings import Settings
from app.staff import calendar
from app.tables import accounts, bookings, catalog, staff


class Done(BaseModel):
    """An answer."""

    by: str


START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A PostgreSQL server with the newest schema, reached through a socket file."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    directory = tmp_path_factory.mktemp("postgresql")
    data = directory / "data"
    as_user = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(directory, "postgres")
        for parent in directory.parents:
            if parent == Path(tempfile.gettempdir()):
                break
            parent.chmod(0o755)

    def run(program: str, *arguments: str) -> None:
        subprocess.run([*as_user, str(programs / program), *arguments], check=True, cwd="/")

    run(
        "initdb",
        "--pgdata",
        str(data),
        "--username",
        "postgres",
        "--auth",
        "trust",
        "--no-sync",
        "--encoding",
        "UTF8",
        "--locale",
        "C.UTF-8",
    )
    options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
    run("pg_ctl", "--pgdata", str(data), "--wait", "--log", str(directory / "log"), "--options", options, "start")
    try:
        engine = create_engine("postgresql+psycopg://postgres@/postgres", connect_args={"host": str(directory)})
        config = Config()
        config.set_main_option("script_location", str(DIRECTORY))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        yield engine
        engine.dispose()
    finally:
        run("pg_ctl", "--pgdata", str(data), "--wait", "--mode", "immediate", "stop")


@pytest.fixture(scope="module")
def cleaner(engine: Engine) -> str:
    """A bookable cleaner. Two bookings, "one" and "two", exist."""
    with Session(engine) as session:
        ann = accounts.UserAccount(email="ann@example.com", password_hash="x", full_name="Ann", role="cleaner")
        service = catalog.CleaningService(name="Cleaning")
        session.add_all([ann, service])
        session.flush()
        session.add(staff.Cleaner(account_id=ann.id))
        session.flush()
        for number in ("one", "two"):
            session.add(
                bookings.BookingRecord(
                    id=number,
                    reference=number,
                    client_id=ann.id,
                    service_id=service.id,
                    service_name="Cleaning",
                    starts_at=START,
                    ends_at=START + timedelta(hours=2),
                    address="x",
                    price=1,
                    currency="EUR",
                    quote={},
                )
            )
        session.commit()
        return ann.id


def test_models_equal_migrations(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_cleaner_cannot_be_booked_twice(engine: Engine, cleaner: str) -> None:
    """Two transactions have found the time free and reserve overlapping slots: one of them fails."""
    both_ready = threading.Barrier(2)
    outcomes: list[str] = []

    def book(booking: str, start: datetime) -> None:
        visit = calendar.Interval(start, start + timedelta(hours=1))
        with Session(engine) as session:
            session.connection()
            both_ready.wait(10)
            try:
                calendar.reserve(session, cleaner, booking, visit)
                session.commit()
                outcomes.append("taken")
            except IntegrityError:
                outcomes.append("refused")

    threads = [
        threading.Thread(target=book, args=("one", START)),
        threading.Thread(target=book, args=("two", START + timedelta(minutes=30))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["refused", "taken"]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), count(DISTINCT booking_id) FROM booking_slot")).one() == (2, 1)


def visit_of(
    client_id: str, service_id: str, reference: str, starts_at: datetime, address: str
) -> bookings.BookingRecord:
    return bookings.BookingRecord(
        reference=reference,
        client_id=client_id,
        service_id=service_id,
        service_name="Cleaning",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        address=address,
        price=1,
        currency="EUR",
        quote={},
    )


def outcome_of_two(
    engine: Engine,
    first: bookings.BookingRecord,
    second: bookings.BookingRecord,
    write: Callable[[Session, bookings.BookingRecord], None],
) -> list[str]:
    """Write the second booking while the first is not committed yet. Returns "done" or the problem of each, in order.

    The first transaction commits when the second one waits for a lock or has ended, but after at most five seconds.
    """
    written, ended = threading.Event(), threading.Event()
    outcomes: dict[str, str] = {}

    def attempt(booking: bookings.BookingRecord, before_commit: Callable[[], None]) -> None:
        name = booking.reference
        with Session(engine) as session:
            try:
                write(session, booking)
                session.flush()
                before_commit()
                session.commit()
                outcomes[name] = "done"
            except (DuplicateBooking, SlotUnavailable) as problem:
                outcomes[name] = problem.slug

    def wait_for_the_second() -> None:
        written.set()
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        give_up = time.monotonic() + 5
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while time.monotonic() < give_up and not ended.is_set() and not connection.execute(waiting).scalar_one():
                time.sleep(0.02)

    def follow() -> None:
        written.wait(10)
        attempt(second, lambda: None)
        ended.set()

    names = [first.reference, second.reference]
    threads = [threading.Thread(target=attempt, args=(first, wait_for_the_second)), threading.Thread(target=follow)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [outcomes[name] for name in names]


@pytest.fixture
def bookable(engine: Engine, cleaner: str) -> tuple[str, str]:
    """The ids of the cleaner, who works on Tuesdays, and of the service."""
    with Session(engine) as session:
        session.execute(text("DELETE FROM working_hours"))
        session.add(staff.WorkingHours(cleaner_id=cleaner, weekday=1, starts=0, ends=24 * 60))
        service = session.execute(text("SELECT id FROM cleaning_service")).scalar_one()
        session.commit()
        return cleaner, str(service)


def test_simultaneous_visits_without_travel_time_are_refused(engine: Engine, bookable: tuple[str, str]) -> None:
    settings = Settings.model_validate({"secret_key": "s" * 32, "canary_token": "c" * 32})
    tuesday = START + timedelta(days=1)

    def write(session: Session, booking: bookings.BookingRecord) -> None:
        booking.cleaner_id = assignment.least_loaded_cleaner(
            session, settings, booking, assignment.visit_interval(booking)
        )
        session.add(booking)
        assignment.reserve_slots(session, booking)

    first = visit_of(*bookable, "first", tuesday, "Main Street 5")
    second = visit_of(*bookable, "second", tuesday + timedelta(hours=1), "Side Road 7")
    assert outcome_of_two(engine, first, second, write) == ["done", "slot-unavailable"]


def test_simultaneous_duplicate_bookings_are_refused(engine: Engine, bookable: tuple[str, str]) -> None:
    accounts_of = object.__new__(Accounts)  # the test uses only its lock, which needs no attributes

    def write(session: Session, booking: bookings.BookingRecord) -> None:
        refuse_duplicate(session, accounts_of, booking, starts_at=booking.starts_at, address=booking.address)
        session.add(booking)

    first = visit_of(*bookable, "third", START + timedelta(days=7), "Main Street 5")
    second = visit_of(*bookable, "fourth", START + timedelta(days=7), "MAIN STREET, 5")
    assert outcome_of_two(engine, first, second, write) == ["done", "duplicate-booking"]


def test_audit_log_is_append_only(engine: Engine) -> None:
    with Session(engine) as session:
        audit.record(session, "login.succeeded", actor_id=None)
        session.commit()
    for change in (
        "UPDATE audit_entry SET action = 'x'",
        "UPDATE audit_entry SET address = NULL",
        "DELETE FROM audit_entry",
    ):
        with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text(change))


def test_network_addresses_are_removed_after_90_days_or_on_erasure(engine: Engine) -> None:
    with Session(engine) as session:
        eve = accounts.UserAccount(email="eve@example.com", password_hash="!", full_name="Eve")
        session.add(eve)
        old = audit.AuditEntry(at=now() - timedelta(days=91), action="x", address="192.0.2.1")
        young = audit.AuditEntry(at=now() - timedelta(days=89), action="x", address="192.0.2.1")
        hers = audit.AuditEntry(action="x", subject_id=eve.id, address="192.0.2.1")
        session.add_all([old, young, hers])
        session.commit()
        assert audit.prune(session) == 1
        session.commit()
        with pytest.raises(DBAPIError, match="append-only"):
            audit.forget_addresses(session, eve.id)
        session.rollback()
        eve.erased_at = now()
        audit.forget_addresses(session, eve.id)
        session.commit()
        session.expire_all()
        assert [each.address for each in (old, young, hers)] == [None, "192.0.2.1", None]
    for change in ("action = 'x1', address = NULL", "details = '{}', address = NULL", "id = 77, address = NULL"):
        with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text(f"UPDATE audit_entry SET {change} WHERE subject_id IS NULL"))  # noqa: S608


def test_simultaneous_requests_with_one_idempotency_key_run_once(engine: Engine) -> None:
    both_done = threading.Barrier(2)
    outcomes: list[str] = []

    def request(name: str) -> None:
        def work() -> Done:
            both_done.wait(10)
            return Done(by=name)

        with Session(engine) as session:
            try:
                Attempt("key", "fingerprint", Response()).once(session, "somebody", Done, work)
                session.commit()
                outcomes.append("done")
            except RequestInProgress:
                outcomes.append("refused")

    threads = [threading.Thread(target=request, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["done", "refused"]


def test_prepared_queries_work_on_postgresql(engine: Engine, cleaner: str) -> None:
    with Session(engine.connect()) as session:
        assert people(session, [cleaner, "nobody", "nobody else"])[cleaner].full_name == "Ann"
        wanted = queries.BookingFilters(client_ids=[cleaner], start=START, end=START + timedelta(days=1))
        first, cursor = queries.page(session, wanted, Paging(1))
        second, end = queries.page(session, wanted, Paging(1, cursor))
        assert {first[0].id, second[0].id} == {"one", "two"}
        assert (first[0].starts_at, first[0].quote, end) == (START, {}, None)


def test_simultaneous_refreshes_by_two_replicas_agree(
    engine: Engine, cleaner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_ready = threading.Barrier(2)
    mark_used = sessions._mark_used

    def mark_together(*arguments: Any) -> bool:  # noqa: ANN401  # the arguments of the replaced function
        both_ready.wait(10)
        return mark_used(*arguments)

    monkeypatch.setattr(sessions, "_mark_used", mark_together)
    nothing: Any = None
    replica = sessions.Sessions(
        Settings(secret_key="s" * 32, canary_token="c" * 32),
        database=nothing,
        hasher=nothing,
        tokens=nothing,
        guard=nothing,
    )
    with Session(engine) as session:
        login = replica._begin(session, cleaner, sessions.Device("tests", "192.0.2.7"), "old")
        session.commit()
        session_id = login.id

    def refresh(_: int) -> datetime | None:
        with Session(engine) as session:
            rotation = replica._rotate(session, "old", "new")
            session.commit()
            return rotation[1] if rotation else None

    with ThreadPoolExecutor(2) as pool:
        moments = set(pool.map(refresh, range(2)))
    assert len(moments) == 1
    assert None not in moments
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM refresh_token WHERE session_id = :id")
        assert connection.execute(query, {"id": session_id}).scalar_one() == 2
