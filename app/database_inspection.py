"""Inspection of a whole database: its integrity, its schema's revision and its numbers of rows."""

from collections.abc import Mapping
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
        created: by requested table, when the row of the requested number and the next one were created, in the order of
            their insertion; seconds since the epoch, None for a missing row.
    """

    damage: list[str]
    broken_references: int
    revision: str | None
    newest_revision: str
    rows: dict[str, int]
    created: dict[str, tuple[float | None, float | None]]

    @property
    def findings(self) -> list[str]:
        """All problems, one sentence each."""
        return [*self.damage, *([f"{self.broken_references} rows point to nothing"] if self.broken_references else [])]


def inspect_database(
    connection: Any,  # noqa: ANN401  # the driver has no types
    row_numbers: Mapping[str, int] | None = None,
) -> DatabaseReport:
    """Read the whole database of a connection.

    Args:
        connection: a connection of the SQLite driver.
        row_numbers: number of a row, by table, for `created`; the first row has the number 1.

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
        created={
            table: _created(connection, table, number)
            for table, number in (row_numbers or {}).items()
            if table in tables
        },
    )


def _count(connection: Any, table: str) -> int:  # noqa: ANN401
    return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608  # a table of the schema


def _created(connection: Any, table: str, number: int) -> tuple[float | None, float | None]:  # noqa: ANN401
    """Return when a row and the next one were created, in the order of their insertion."""
    query = f'SELECT created_at FROM "{table}" ORDER BY rowid LIMIT 2 OFFSET ?'  # noqa: S608  # a table of the schema
    found = [_timestamp(row[0]) for row in connection.execute(query, (max(0, number - 1),))]
    padded = [*([None] if number < 1 else []), *found, None, None]
    return padded[0], padded[1]


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
