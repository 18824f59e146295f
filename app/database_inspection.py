"""Inspection of a whole database: its integrity, its schema's revision and its numbers of rows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.kit.migrations import newest_revision

MAXIMUM_FINDINGS = 5


@dataclass(frozen=True)
class DatabaseReport:
    """The result of an inspection.

    Attributes:
        damage: problems of the file, one sentence each; empty for a sound file.
        broken_references: number of rows with a foreign key that refers to a missing row.
        revision: revision of the schema; None without one.
        newest_revision: revision of the schema that this code expects.
        rows: number of rows by table.
        rows_until: number of rows created until the requested time, by table; only tables with a `created_at`.
    """

    damage: list[str]
    broken_references: int
    revision: str | None
    newest_revision: str
    rows: dict[str, int]
    rows_until: dict[str, int]

    @property
    def findings(self) -> list[str]:
        """All problems, one sentence each."""
        return [*self.damage, *([f"{self.broken_references} rows point to nothing"] if self.broken_references else [])]


def inspect_database(connection: Any, until: float | None = None) -> DatabaseReport:  # noqa: ANN401  # the driver has no types
    """Read the whole database of a connection.

    Args:
        connection: a connection of the SQLite driver.
        until: seconds since the epoch; `rows_until` does not count rows created later.

    Raises:
        Error: the driver cannot read the database.
    """
    findings = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({MAXIMUM_FINDINGS})")]
    tables = [
        str(row[0])
        for row in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            " AND name NOT LIKE '\\_litestream%' ESCAPE '\\' ORDER BY name"
        )
    ]
    created_until = None if until is None else datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    dated_tables = [table for table in tables if created_until and "created_at" in _columns(connection, table)]
    revision = (
        connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if "alembic_version" in tables
        else None
    )
    return DatabaseReport(
        damage=[finding for finding in findings if finding != "ok"],
        broken_references=len(connection.execute("PRAGMA foreign_key_check").fetchall()),
        revision=str(revision[0]) if revision else None,
        newest_revision=newest_revision(),
        rows={table: _count(connection, table) for table in tables},
        rows_until={table: _count(connection, table, created_until) for table in dated_tables},
    )


def _columns(connection: Any, table: str) -> set[str]:  # noqa: ANN401
    return {str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")')}


def _count(connection: Any, table: str, created_until: str | None = None) -> int:  # noqa: ANN401
    condition, values = ("", ()) if created_until is None else (" WHERE created_at <= ?", (created_until,))
    return int(connection.execute(f'SELECT count(*) FROM "{table}"{condition}', values).fetchone()[0])  # noqa: S608  # a table of the schema
