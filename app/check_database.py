"""`python -m app check-database`: reads the whole database and says whether it is sound, beside a running service."""

import sys

from sqlalchemy.exc import SQLAlchemyError

from app.kit import sqlite
from app.settings import load_settings_or_exit

SHOWN = 5  # findings of very many


def main() -> int:
    """Check DATABASE_URL; returns 0 when it is sound, 1 when it is damaged or cannot be read."""
    url = load_settings_or_exit().parsed_database_url
    try:
        engine = sqlite.reader_engine(sqlite.DatabaseFile(sqlite.database_file(url)), 1)
    except sqlite.FileUnusableError as error:
        sys.stderr.write(f"There is nothing to check: {error}\n")
        return 1
    try:
        with engine.connect() as connection:
            findings = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            broken = sqlite.broken_references(connection)
    except SQLAlchemyError as error:
        findings, broken = [str(getattr(error, "orig", None) or error)], 0
    finally:
        engine.dispose()
    if broken:
        findings.append(f"{broken} rows point to nothing")
    damage = [finding for finding in findings if finding != "ok"]
    sys.stdout.write(f"{'; '.join(damage[:SHOWN]) or 'sound'}\n")
    return 1 if damage else 0
