"""`python -m app migrate`: upgrade the schema; one process at a time, one transaction, all or nothing."""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from app.kit import logs, sqlite
from app.kit.migrations import DIRECTORY, MigrationError, is_behind, newest_revision, revision
from app.settings import load_settings_or_exit

LOCK_TIMEOUT = 60.0  # seconds to wait for another process that migrates

log = structlog.get_logger(__name__)


def main() -> int:
    """Migrate DATABASE_URL; returns the exit code."""
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            migrate(settings.parsed_database_url)
        except MigrationError as error:
            sys.stderr.write(f"The migration failed, the database is unchanged: {error}\n")
            return 1
    return 0


def migrate(
    url: URL, *, directory: Path = DIRECTORY, to: str | None = None, lock_timeout: float = LOCK_TIMEOUT
) -> None:
    """Upgrade the database to the newest revision.

    Args:
        url: of the database.
        directory: of the Alembic environment.
        to: an earlier revision instead of the newest.
        lock_timeout: seconds to wait while another process migrates.

    Raises:
        MigrationError: nothing has changed.
    """
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    try:
        with _lock(sqlite.database_file(url), lock_timeout), sqlite.exclusive(url) as connection:
            found, wanted = revision(connection), to or newest_revision(directory)
            if not is_behind(found, wanted):
                return
            config.attributes["connection"] = connection
            command.upgrade(config, wanted)
            if broken := sqlite.broken_references(connection):
                raise MigrationError(f"{broken} rows would point to nothing")
            connection.commit()
            log.info("database_migrated", before=found, after=wanted)
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise MigrationError(str(getattr(error, "orig", None) or error)) from error


@contextmanager
def _lock(database: Path, timeout: float) -> Iterator[None]:
    with database.with_name(f"{database.name}.migrate.lock").open("w") as file:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MigrationError(f"another process has been at it for {timeout:g} seconds") from None
                time.sleep(0.1)
        yield
