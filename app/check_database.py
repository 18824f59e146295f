"""`python -m app check-database`: reads a whole database and says whether it is sound, beside a running service."""

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from app.examination import examine
from app.kit import sqlite
from app.settings import load_settings_or_exit


def main(arguments: list[str]) -> int:
    """Check a file, or DATABASE_URL; returns 0 when it is sound, 1 when it is damaged or cannot be read."""
    parser = argparse.ArgumentParser("python -m app check-database")
    parser.add_argument("file", nargs="?", type=Path, help="a database; the API's own if left out")
    parser.add_argument(
        "--json", action="store_true", help="for programs: also the schema's revision and numbers of rows"
    )
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        type=_row,
        metavar="TABLE:NUMBER",
        help="tell too when this row of a table and the next one were made",
    )
    options = parser.parse_args(arguments)
    path = options.file or sqlite.database_file(load_settings_or_exit().parsed_database_url)
    try:
        with closing(sqlite.DatabaseFile(path).connect()) as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA busy_timeout={sqlite.READER_PATIENCE}")
            connection.execute(sqlite.READ)  # all of it as it is at one moment
            found = examine(connection, dict(options.row))
    except sqlite.FileUnusableError as error:
        sys.stderr.write(f"There is nothing to check: {error}\n")
        return 1
    except sqlite.Error as error:
        sys.stdout.write(f"{error}\n")
        return 1
    findings = "; ".join(found.findings)
    sys.stdout.write(f"{json.dumps(asdict(found)) if options.json else findings or 'sound'}\n")
    return 1 if findings else 0


def _row(text: str) -> tuple[str, int]:
    table, _, number = text.partition(":")
    return table, int(number)
