"""Migrations: from empty, by several at once, all or nothing, and equal to the models."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pysqlite3 import dbapi2
from sqlalchemy import make_url
from sqlmodel import SQLModel

from app.accounts import models
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


def test_models_equal_migrations(tmp_path: Path) -> None:
    assert models.UserAccount.__tablename__ in SQLModel.metadata.tables
    url = make_url(f"sqlite:///{tmp_path}/m.db")
    migrate(url)
    with sqlite.exclusive(url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
        assert revision(connection) == newest_revision()


def test_several_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "migrate"]
    running = [subprocess.Popen(command, env=environment, cwd=tmp_path) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    url = make_url(f"sqlite:///{tmp_path}/m.db")
    migrate(url)
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
