"""`python -m app check-database`: check the integrity of a database, also while the service runs."""

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from app.database_inspection import inspect_database
from app.kit import sqlite
from app.settings import load_settings_or_exit


def main(arguments: list[str]) -> int:
    """Check a file, or DATABASE_URL. Returns 0 if it is sound, 1 if it is damaged or cannot be read."""
    parser = argparse.ArgumentParser("python -m app check-database")
    parser.add_argument("file", nargs="?", type=Path, help="a database file; the default is the database of the API")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with the revision of the schema and the numbers of rows"
    )
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        type=_row,
        metavar="TABLE:NUMBER",
        help="also report when this row of the table and the next one were created",
    )
    options = parser.parse_args(arguments)
    path = options.file or sqlite.database_file(load_settings_or_exit().parsed_database_url)
    try:
        with closing(sqlite.DatabaseFile(path).connect()) as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA busy_timeout={sqlite.READER_PATIENCE}")
            connection.execute(sqlite.READ)  # one transaction, for a consistent state of all tables
            report = inspect_database(connection, dict(options.row))
    except sqlite.FileUnusableError as error:
        sys.stderr.write(f"There is nothing to check: {error}\n")
        return 1
    except sqlite.Error as error:
        sys.stdout.write(f"{error}\n")
        return 1
    findings = "; ".join(report.findings)
    sys.stdout.write(f"{json.dumps(asdict(report)) if options.json else findings or 'sound'}\n")
    return 1 if findings else 0


def _row(text: str) -> tuple[str, int]:
    table, _, number = text.partition(":")
    return table, int(number)
