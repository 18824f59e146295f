"""What reading all of a database tells of it: whether it is sound, its revision, how many rows there are."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.kit.migrations import newest_revision

SHOWN = 5  # findings of very many


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        damage: what is wrong with the file, a sentence each; nothing of a sound one.
        broken_references: rows that point to nothing.
        revision: of the schema; None where there is none.
        newest_revision: that this code was written for.
        rows: of each table.
        rows_until: of each table whose rows have the moment of their making, those made until the moment asked for.
    """

    damage: list[str]
    broken_references: int
    revision: str | None
    newest_revision: str
    rows: dict[str, int]
    rows_until: dict[str, int]

    @property
    def findings(self) -> list[str]:
        """All that is wrong, a sentence each."""
        return [*self.damage, *([f"{self.broken_references} rows point to nothing"] if self.broken_references else [])]


def examine(connection: Any, until: float | None = None) -> Examination:  # noqa: ANN401  # the driver has no types
    """Read the whole database of a connection.

    Args:
        connection: of the driver.
        until: seconds since the epoch; rows that were made later are not counted in `rows_until`.

    Raises:
        Error: of the driver: it cannot be read at all.
    """
    findings = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({SHOWN})")]
    tables = [
        str(row[0])
        for row in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            " AND name NOT LIKE '\\_litestream%' ESCAPE '\\' ORDER BY name"
        )
    ]
    moment = None if until is None else datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    dated = [table for table in tables if moment and "created_at" in _columns(connection, table)]
    revision = (
        connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if "alembic_version" in tables
        else None
    )
    return Examination(
        damage=[finding for finding in findings if finding != "ok"],
        broken_references=len(connection.execute("PRAGMA foreign_key_check").fetchall()),
        revision=str(revision[0]) if revision else None,
        newest_revision=newest_revision(),
        rows={table: _count(connection, table) for table in tables},
        rows_until={table: _count(connection, table, moment) for table in dated},
    )


def _columns(connection: Any, table: str) -> set[str]:  # noqa: ANN401
    return {str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")')}


def _count(connection: Any, table: str, moment: str | None = None) -> int:  # noqa: ANN401
    # The names come from the database's own schema.
    condition, values = ("", ()) if moment is None else (" WHERE created_at <= ?", (moment,))
    return int(connection.execute(f'SELECT count(*) FROM "{table}"{condition}', values).fetchone()[0])  # noqa: S608
