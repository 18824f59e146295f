"""Queries that every request makes, compiled once.

SQLAlchemy builds, caches and unpacks a statement in ten times the time that SQLite takes to run it. Where that
counts, the statement is still written with SQLAlchemy, but its text goes to the driver as it is.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Dialect, Select
from sqlmodel import Session
from typing_extensions import Unpack

R = TypeVar("R")
Convert = Callable[[Any], Any]

AMONG = "among"
"""Name of the parameter for a collection."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """Ready for one dialect."""

    text: str
    positions: Sequence[str] | None
    """Names of the parameters in their order; None where the driver takes names."""
    constants: dict[str, Any]
    """Parameters that the query brings itself, and places for the others."""
    parameters: dict[str, Convert]
    """What to do to a parameter."""
    columns: list[tuple[int, Convert]]
    """What to do to a column."""


class Prepared(Generic[R]):
    """A query and what to make of each of its rows."""

    def __init__(self, query: Select[Unpack[tuple[Any, ...]]], make: Callable[..., R]) -> None:
        """Prepare the query.

        Args:
            query: with `bindparam(name)` for what `rows` is given, and `bindparam("among", expanding=True)` for the
                values of one `IN`, whose type must need no conversion.
            make: called with the columns of each row, in order.
        """
        self._query = query
        self._make = make
        self._statements: dict[tuple[str, int], _Statement] = {}

    def rows(self, session: Session, *, among: Collection[Any] | None = None, **values: object) -> list[R]:
        """Run the query in the session's transaction.

        Args:
            session: its changes are written first.
            among: values of the expanding parameter; None where the query has none.
            values: of the other parameters.
        """
        if among is not None and not among:
            return []
        session.flush()
        connection = cast("Connection", session.get_bind())  # a unit of work makes its session with one
        room = 1 << (len(among) - 1).bit_length() if among else 0  # few lengths, so that few statements are kept
        key = connection.dialect.name, room
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = self._compiled(connection.dialect, room, values)
        given = statement.constants | values
        if among:
            padded = [*among, *[next(iter(among))] * (room - len(among))]
            given |= {f"{AMONG}_{number}": value for number, value in enumerate(padded, 1)}
        for name, convert in statement.parameters.items():
            given[name] = convert(given[name])
        cursor = connection.connection.cursor()
        try:
            positions = statement.positions
            cursor.execute(statement.text, given if positions is None else [given[name] for name in positions])
            found = cursor.fetchall()
        finally:
            cursor.close()
        make, columns = self._make, statement.columns
        if not columns:
            return [make(*row) for row in found]
        rows = []
        for row in found:
            changed = list(row)
            for number, convert in columns:
                changed[number] = convert(changed[number])
            rows.append(make(*changed))
        return rows

    def _compiled(self, dialect: Dialect, room: int, values: Mapping[str, object]) -> _Statement:
        example = {**values, AMONG: [""] * room} if room else values
        compiled = self._query.compile(dialect=dialect)
        state = compiled.construct_expanded_state(example)
        return _Statement(
            text=state.statement,
            positions=state.positiontup,
            constants=dict(state.parameters),
            parameters={
                name: convert
                for bind, name in compiled.bind_names.items()
                if name != AMONG and (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
            },
            columns=[
                (number, convert)
                for number, column in enumerate(self._query.selected_columns)
                if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
            ],
        )
