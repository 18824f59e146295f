"""`python -m app migrate [--create]`: upgrade the schema in one transaction, one process at a time."""

import argparse
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


def main(arguments: list[str]) -> int:
    """Migrate the database at DATABASE_URL; return the exit code."""
    parser = argparse.ArgumentParser("python -m app migrate")
    parser.add_argument("--create", action="store_true", help="create a new, empty database if it is missing")
    create = parser.parse_args(arguments).create
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            migrate(settings.parsed_database_url, create=create)
        except sqlite.FileUnusableError as error:
            sys.stderr.write(f"Nothing was migrated: {error}\n")
            return error.exit_code
        except MigrationError as error:
            sys.stderr.write(f"The migration failed, the database is unchanged: {error}\n")
            return 1
    return 0


def migrate(
    url: URL,
    *,
    create: bool = False,
    directory: Path = DIRECTORY,
    to: str | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
) -> None:
    """Upgrade the database to the newest revision.

    Args:
        url: URL of the database.
        create: create the database if it is missing or empty.
        directory: directory of the Alembic environment.
        to: an earlier target revision instead of the newest.
        lock_timeout: seconds to wait while another process migrates.

    Raises:
        FileUnusableError: the database file is missing or not writable by this process.
        MigrationError: the migration failed and changed nothing.
    """
    path = sqlite.database_file(url)
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    try:
        if create:
            sqlite.create(path)
        sqlite.DatabaseFile(path)  # raises FileUnusableError with the reason
        with _lock(path, lock_timeout), sqlite.exclusive(url) as connection:
            found, wanted = revision(connection), to or newest_revision(directory)
            if found is None and not create:
                raise sqlite.absent(path)
            if not is_behind(found, wanted):
                return
            config.attributes["connection"] = connection
            command.upgrade(config, wanted)
            if broken := sqlite.broken_references(connection):
                raise MigrationError(f"{broken} rows would reference missing rows")
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
                    raise MigrationError(f"another process has been migrating for {timeout:g} seconds") from None
                time.sleep(0.1)
        yield
