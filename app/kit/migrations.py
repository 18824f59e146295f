"""See at start-up whether the schema is that of the code, and have it migrated when it is older.

Revisions are numbered files in `app/migrations/versions` ("0001_….py" is revision "0001"), so that this needs
no Alembic, which would cost each replica 12 MB for good: migrating happens in a process of its own.
"""

import subprocess
import sys
from pathlib import Path

import structlog
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from app.kit import sqlite
from app.settings import Settings

DIRECTORY = Path(__file__).parent.parent / "migrations"

log = structlog.get_logger(__name__)


class MigrationError(Exception):
    """The schema could not be brought up to date; the database is as it was before."""


def newest_revision(directory: Path = DIRECTORY) -> str:
    """The revision that this code was written for."""
    return max(file.name.partition("_")[0] for file in (directory / "versions").glob("[0-9]*_*.py"))


def revision(connection: Connection) -> str | None:
    """The revision of the database's schema; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def is_behind(found: str | None, newest: str) -> bool:
    """Whether there is something to migrate.

    A newer database is fine: after a rollback the previous image must still work on it.
    """
    if found is not None and found > newest:
        log.warning("database_newer_than_code", database=found, code=newest)
    return found is None or found < newest


def ensure(settings: Settings) -> None:
    """Migrate the database if it is behind; one that is missing is not made.

    Raises:
        FileUnusableError: the database's file is missing, or not this process's to write.
        MigrationError: it could not be migrated.
    """
    path = sqlite.database_file(settings.parsed_database_url)
    engine = sqlite.reader_engine(sqlite.DatabaseFile(path), 1)
    try:
        with engine.connect() as connection:
            found = revision(connection)
    except SQLAlchemyError as error:
        raise MigrationError(str(getattr(error, "orig", error))) from error
    finally:
        engine.dispose()
    if found is None:
        raise sqlite.absent(path)
    if (
        is_behind(found, newest_revision())
        and subprocess.run([sys.executable, "-m", "app", "migrate"], check=False).returncode
    ):
        raise MigrationError("see the messages above")
