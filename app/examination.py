"""What reading all of a database tells of it: whether it is sound, its revision, how many rows there are."""

from collections.abc import Mapping
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
        made: of each table asked for, when its row of the number asked for was made, and when the next one was, in the
            order in which they were written; seconds since the epoch, None where there is no such row.
    """

    damage: list[str]
    broken_references: int
    revision: str | None
    newest_revision: str
    rows: dict[str, int]
    made: dict[str, tuple[float | None, float | None]]

    @property
    def findings(self) -> list[str]:
        """All that is wrong, a sentence each."""
        return [*self.damage, *([f"{self.broken_references} rows point to nothing"] if self.broken_references else [])]


def examine(connection: Any, numbers: Mapping[str, int] | None = None) -> Examination:  # noqa: ANN401  # the driver has no types
    """Read the whole database of a connection.

    Args:
        connection: of the driver.
        numbers: of a row of each table of which `made` is to tell; the first row has the number 1.

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
        made={table: _made(connection, table, number) for table, number in (numbers or {}).items() if table in tables},
    )


def _count(connection: Any, table: str) -> int:  # noqa: ANN401
    # The names come from the database's own schema.
    return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608


def _made(connection: Any, table: str, number: int) -> tuple[float | None, float | None]:  # noqa: ANN401
    """Return when one row of a table and the next one were made; both are in the order in which SQLite wrote them."""
    query = f'SELECT created_at FROM "{table}" ORDER BY rowid LIMIT 2 OFFSET ?'  # noqa: S608  # of the schema
    found = [_moment(row[0]) for row in connection.execute(query, (max(0, number - 1),))]
    padded = [*([None] if number < 1 else []), *found, None, None]
    return padded[0], padded[1]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
