"""Migrations: from empty, by several at once, all or nothing, and equal to the models."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pysqlite3 import dbapi2
from sqlalchemy import Connection, inspect, make_url
from sqlmodel import SQLModel

import app.tables  # noqa: F401  # registers all tables
from app.kit import sqlite
from app.kit.migrations import DIRECTORY, MigrationError, newest_revision, revision
from app.migrations.upgrade import migrate

BROKEN = """
from alembic import op

revision = "9999"
down_revision = "{previous}"


def upgrade() -> None:
    op.execute("CREATE TABLE half_done (x)")
    op.execute("INSERT INTO no_such_table VALUES (1)")
"""

ANN = "0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"
AT = "2026-03-01 10:00:00.000000"
SAMPLES: dict[str, dict[str, object]] = {
    "user_account": {
        "id": ANN,
        "email": "ann@example.com",
        "password_hash": "x",
        "full_name": "Ann Petrova",
        "phone": "+4915112345678",
        "created_at": AT,
        "updated_at": AT,
    },
    "account_term": {"term": "petrova", "account_id": ANN},
    "login_session": {
        "id": "s",
        "account_id": ANN,
        "user_agent": "x",
        "created_at": AT,
        "used_at": AT,
        "expires_at": AT,
    },
    "refresh_token": {"token_hash": "x", "session_id": "s", "created_at": AT},
    "one_time_token": {
        "token_hash": "x",
        "account_id": ANN,
        "purpose": "verify_email",
        "email": "ann@example.com",
        "expires_at": AT,
    },
    "audit_entry": {"at": AT, "action": "login.succeeded", "actor_id": ANN, "details": "{}"},
    "outbox_message": {
        "id": "m",
        "channel": "email",
        "recipient": "ann@example.com",
        "template": "x",
        "subject": "x",
        "body": "x",
        "state": "pending",
        "attempts": 0,
        "due_at": AT,
        "created_at": AT,
    },
    "idempotency_record": {"scope": ANN, "key": "k", "fingerprint": "f", "answer": "{}", "created_at": AT},
    "cleaning_service": {
        "id": "c",
        "name": "x",
        "description": "",
        "position": 0,
        "base_price": 100,
        "price_per_square_metre": 0,
        "price_per_room": 0,
        "price_per_hour": 0,
        "base_minutes": 60,
        "seconds_per_square_metre": 0,
        "minutes_per_room": 0,
        "version": 1,
        "created_at": AT,
        "updated_at": AT,
    },
    "service_extra": {
        "id": "e",
        "service_id": "c",
        "name": "x",
        "position": 0,
        "price": 0,
        "minutes": 0,
        "maximum_quantity": 1,
        "version": 1,
    },
    "cleaner": {"account_id": ANN, "rating_total": 5, "rating_count": 1, "version": 1, "created_at": AT},
    "working_hours": {"cleaner_id": ANN, "weekday": 0, "starts": 540, "ends": 1020},
    "day_off": {
        "id": "d",
        "cleaner_id": ANN,
        "first_day": "2026-03-01",
        "last_day": "2026-03-02",
        "reason": "",
        "created_at": AT,
    },
    "booking": {
        "id": "b",
        "reference": "ABCDEFGH",
        "client_id": ANN,
        "cleaner_id": ANN,
        "service_id": "c",
        "service_name": "x",
        "state": "completed",
        "starts_at": AT,
        "ends_at": "2026-03-01 11:00:00.000000",
        "address": "x",
        "notes": "",
        "price": 100,
        "currency": "EUR",
        "quote": "{}",
        "cancellation_fee": 0,
        "version": 1,
        "created_at": AT,
        "updated_at": AT,
    },
    "booking_slot": {"cleaner_id": ANN, "slot": 1, "booking_id": "b"},
    "booking_event": {"booking_id": "b", "at": AT, "kind": "requested", "state": "requested", "details": "{}"},
    "review": {"booking_id": "b", "client_id": ANN, "cleaner_id": ANN, "stars": 5, "comment": "", "created_at": AT},
}
"""A row of each table, parents first; of older revisions the columns that there are."""


def test_models_equal_migrations(tmp_path: Path) -> None:
    url = make_url(f"sqlite:///{tmp_path}/m.db")
    migrate(url, create=True)
    with sqlite.exclusive(url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
        assert revision(connection) == newest_revision()


def test_from_every_revision_with_data_in_it(tmp_path: Path) -> None:
    revisions = sorted(file.name[:4] for file in (DIRECTORY / "versions").glob("[0-9]*_*.py"))
    for start in revisions[:-1]:
        path = tmp_path / f"{start}.db"
        url = make_url(f"sqlite:///{path}")
        migrate(url, to=start, create=True)
        before = fill(path)
        migrate(url)
        with sqlite.exclusive(url) as connection:
            assert revision(connection) == revisions[-1]
        database = dbapi2.connect(path)
        database.row_factory = dbapi2.Row
        for table, row in before.items():
            found = dict(database.execute(f"SELECT * FROM {table}").fetchone())  # noqa: S608
            assert found.items() >= row.items(), (start, table)
        terms = {term for (term,) in database.execute("SELECT term FROM account_term")}
        assert terms == ({"ann", "petrova", "ann@example.com", "+4915112345678"} if start < "0002" else {"petrova"})
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        database.close()


def test_what_was_stored_before_can_be_found_and_erased(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    migrate(make_url(f"sqlite:///{path}"), to="0007", create=True)
    fill(path)
    connection = dbapi2.connect(path)
    decomposed = "zoe\N{COMBINING DIAERESIS}"
    with connection:
        connection.executemany(
            "INSERT INTO account_term (term, account_id) VALUES (?, ?)",
            [(decomposed, ANN), ("zoë", ANN), (f"{decomposed}-maria", ANN)],
        )
        connection.execute("UPDATE user_account SET erased_at = ?", (AT,))
        connection.execute(
            "INSERT INTO audit_entry (at, action, actor_id, address, details)"
            " VALUES (datetime('now'), 'x', ?, '192.0.2.1', '{}')",
            (ANN,),
        )
        message = (
            "INSERT INTO outbox_message (id, channel, recipient, template, subject, body, state, attempts, due_at,"
        )
        message += " created_at) VALUES (?, 'email', 'bob@example.com', ?, 'New visit: ABCDEFGH', 'x', ?, 0, ?, ?)"
        connection.executemany(
            message,
            [
                ("to be sent", "visit_assigned", "pending", AT, AT),
                ("dead", "visit_cancelled", "dead", AT, AT),
                ("sent", "visit_assigned", "sent", AT, AT),
                ("of another kind", "booking_assigned", "pending", AT, AT),
            ],
        )
    migrate(make_url(f"sqlite:///{path}"))
    terms = {term for (term,) in connection.execute("SELECT term FROM account_term")}
    assert terms == {"petrova", "zoë", "zoë-maria"}
    assert connection.execute("SELECT count(address) FROM audit_entry").fetchone() == (0,)
    about = dict(connection.execute("SELECT id, about_id FROM outbox_message"))
    assert {name for name, account in about.items() if account == ANN} == {"to be sent", "dead"}
    connection.close()


def fill(path: Path) -> dict[str, dict[str, object]]:
    """Put one row into each table that there is; returns what was put."""
    database = dbapi2.connect(path)
    database.execute("PRAGMA foreign_keys = ON")
    done = {}
    with database:
        for table, sample in SAMPLES.items():
            columns = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
            row = {name: value for name, value in sample.items() if name in columns}
            if columns:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608
                done[table] = row
    there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert there - {"alembic_version"} == done.keys()
    database.close()
    return done


def test_every_revision_can_be_taken_back_to_nothing(tmp_path: Path) -> None:
    url = make_url(f"sqlite:///{tmp_path}/m.db")
    migrate(url, create=True)
    fill(tmp_path / "m.db")
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY))
    with sqlite.exclusive(url) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
        assert inspect(connection).get_table_names() == ["alembic_version"]


# A revision that takes something away, and the release since which no code has used it. See "expand, then contract" in
# docs/releases.md.
CONTRACTS: dict[str, str] = {}

Shape = dict[str, dict[str, bool]]
"""For each table and column, whether a row may leave it out."""


def shape(connection: Connection) -> Shape:
    looked = inspect(connection)
    return {
        table: {
            str(column["name"]): bool(column["nullable"]) or column["default"] is not None
            for column in looked.get_columns(table)
        }
        for table in looked.get_table_names()
    }


def what_the_image_before_would_miss(before: Shape, after: Shape) -> list[str]:
    missing = [f"the table {table} is gone" for table in before.keys() - after.keys()]
    for table in before.keys() & after.keys():
        old, new = before[table], after[table]
        missing += [f"the column {table}.{column} is gone" for column in old.keys() - new.keys()]
        missing += [
            f"the column {table}.{column} must be given now"
            for column, optional in new.items()
            if not optional and old.get(column, True)
        ]
    return sorted(missing)


def test_the_image_before_works_on_the_schema_of_each_revision(tmp_path: Path) -> None:
    script = ScriptDirectory(str(DIRECTORY))
    revisions = [each.revision for each in script.walk_revisions()][::-1]
    url = make_url(f"sqlite:///{tmp_path}/m.db")
    before: Shape = {}
    for each in revisions:
        migrate(url, to=each, create=True)
        with sqlite.exclusive(url) as connection:
            after = shape(connection)
        missing = what_the_image_before_would_miss(before, after)
        assert not missing or each in CONTRACTS, (each, missing)
        before = after
    assert CONTRACTS.keys() <= set(revisions)


def test_what_the_image_before_would_miss_is_seen(tmp_path: Path) -> None:
    sqlite.create(tmp_path / "m.db")
    with sqlite.exclusive(make_url(f"sqlite:///{tmp_path}/m.db")) as connection:
        connection.exec_driver_sql("CREATE TABLE kept (id INTEGER PRIMARY KEY, old TEXT, loose TEXT)")
        connection.exec_driver_sql("CREATE TABLE dropped (id INTEGER PRIMARY KEY)")
        before = shape(connection)
        connection.exec_driver_sql("DROP TABLE dropped")
        connection.exec_driver_sql("DROP TABLE kept")
        connection.exec_driver_sql(
            "CREATE TABLE kept (id INTEGER PRIMARY KEY, loose TEXT NOT NULL, new TEXT NOT NULL, free TEXT,"
            " given TEXT NOT NULL DEFAULT '')"
        )
        connection.exec_driver_sql("CREATE TABLE added (id INTEGER PRIMARY KEY, must TEXT NOT NULL)")
        assert what_the_image_before_would_miss(before, shape(connection)) == [
            "the column kept.loose must be given now",
            "the column kept.new must be given now",
            "the column kept.old is gone",
            "the table dropped is gone",
        ]


def test_several_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "migrate", "--create"]
    running = [subprocess.Popen(command, env=environment, cwd=tmp_path) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    url = make_url(f"sqlite:///{tmp_path}/m.db")
    migrate(url, create=True)
    directory = tmp_path / "migrations"
    shutil.copytree(DIRECTORY, directory)
    (directory / "versions" / "9999_broken.py").write_text(BROKEN.format(previous=newest_revision()))
    with pytest.raises(MigrationError, match="no_such_table"):
        migrate(url, directory=directory)
    connection = dbapi2.connect(tmp_path / "m.db")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "half_done" not in tables
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (newest_revision(),)
    connection.close()


@pytest.mark.parametrize("empty", [False, True])
def test_a_database_that_is_missing_is_made_on_demand_alone(
    environment: dict[str, str], tmp_path: Path, *, empty: bool
) -> None:
    path = tmp_path / "test.db"
    if empty:
        path.touch()
    for each in ("migrate", "serve"):
        run = subprocess.run(
            [sys.executable, "-m", "app", each], env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == sqlite.EX_NOINPUT
        assert f"the database {path} is {'empty' if empty else 'missing'}: put it back" in run.stderr
        assert "`migrate --create`" in run.stderr
        assert path.exists() == empty
    migrate(make_url(environment["DATABASE_URL"]), create=True)
    migrate(make_url(environment["DATABASE_URL"]))
