"""Capped cursor pagination by key: no page costs more than the first, and none skips or repeats rows."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, bindparam, tuple_
from sqlmodel import Session
from sqlmodel.sql.expression import SelectOfScalar

from app.kit.prepared import Prepared
from app.kit.problems import FieldError, ValidationFailed

T = TypeVar("T")
R = TypeVar("R")
Key = tuple[datetime | date | str | int, ...]

DEFAULT_LIMIT = 20
MAXIMUM_LIMIT = 100
CURSOR_LENGTH = 300  # characters
BIGINT = 1 << 63


class Page(BaseModel, Generic[T]):
    """Part of a list. Ask again with `cursor=next_cursor` for the part that follows."""

    items: list[T]
    next_cursor: str | None = Field(description="Null on the last page", examples=[None])


class Paging:
    """Which part of a list is asked for."""

    def __init__(self, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> None:
        self.limit = limit
        self.cursor = cursor

    def page(
        self,
        session: Session,
        queries: SelectOfScalar[T] | Sequence[SelectOfScalar[T]],
        columns: Sequence[ColumnElement[Any]],
        key: Callable[[T], Key],
        *,
        descending: bool = False,
    ) -> tuple[list[T], str | None]:
        """Read one page.

        Args:
            session: to read with.
            queries: what to list, without order. Several, which must have no row in common, are read one by one and
                merged: each walks along an index, which one query with OR or IN would not.
            columns: the order; together unique, all in one direction, all in one index.
            key: the values of these columns in a row; text, whole numbers, days and moments.
            descending: the largest first.

        Returns:
            The rows, and the cursor of the next page or None.

        Raises:
            ValidationFailed: the cursor is not one of this list's.
        """
        order = tuple_(*columns)
        conditions: list[ColumnElement[bool]] = []
        if self.cursor is not None:
            values = zip(_decode(self.cursor, columns), columns, strict=True)
            place = tuple_(*(bindparam(None, value, type_=column.type) for value, column in values))
            conditions.append(order < place if descending else order > place)
        direction = [column.desc() if descending else column.asc() for column in columns]
        found = [
            row
            for query in (queries if isinstance(queries, Sequence) else [queries])
            for row in session.exec(query.where(*conditions).order_by(*direction).limit(self.limit + 1))
        ]
        if isinstance(queries, Sequence):
            found.sort(key=key, reverse=descending)
        return self._cut(found, key)

    def rows(
        self,
        session: Session,
        listing: Callable[[bool], Prepared[R]],
        columns: Sequence[ColumnElement[Any]],
        key: Callable[[R], Key],
        alternatives: Sequence[Mapping[str, Any]] = ({},),
        **values: Any,  # noqa: ANN401  # of any type that a column has
    ) -> tuple[list[R], str | None]:
        """Like `page`, of a prepared query.

        Args:
            session: to read with.
            listing: gives the query with order and `limit`, for pages after the first also with `after(columns)`.
            columns: the order.
            key: the values of these columns in a row.
            alternatives: values of parameters; the query is run with each of them, and the rows, the largest first,
                are merged.
            values: of the query's other parameters.
        """
        if self.cursor is not None:
            values |= {f"after_{n}": value for n, value in enumerate(_decode(self.cursor, columns))}
        query = listing(self.cursor is not None)
        found = [row for each in alternatives for row in query.rows(session, limit=self.limit + 1, **values, **each)]
        if len(alternatives) > 1:
            found.sort(key=key, reverse=True)
        return self._cut(found, key)

    def _cut(self, rows: list[R], key: Callable[[R], Key]) -> tuple[list[R], str | None]:
        """One row more than fits says that there is another page."""
        if len(rows) <= self.limit:
            return rows, None
        del rows[self.limit :]
        return rows, _encode(key(rows[-1]))


def after(columns: Sequence[ColumnElement[Any]], *, descending: bool) -> ColumnElement[bool]:
    """The condition that a row comes after the cursor, for `Paging.rows`."""
    order, place = tuple_(*columns), tuple_(*(bindparam(f"after_{n}", type_=c.type) for n, c in enumerate(columns)))
    return order < place if descending else order > place


def _encode(key: Key) -> str:
    values = [value.isoformat() if isinstance(value, date) else value for value in key]
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decode(cursor: str, columns: Sequence[ColumnElement[Any]]) -> list[object]:
    """The values of the columns."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [_checked(value, column) for value, column in zip(values, columns, strict=True)]
    except (ValueError, TypeError, OverflowError) as error:
        wrong = FieldError(location="query", field="cursor", code="cursor", message="Not a cursor of this list")
        raise ValidationFailed(errors=[wrong]) from error


def _checked(value: object, column: ColumnElement[Any]) -> object:
    """A value of a cursor; raises ValueError, TypeError or OverflowError when the column cannot hold it."""
    expected = column.type.python_type
    parsed = expected.fromisoformat(value) if issubclass(expected, date) else value  # type: ignore[arg-type]
    if type(parsed) is not expected or (isinstance(parsed, datetime) and parsed.tzinfo is None):
        raise TypeError
    if isinstance(parsed, datetime):
        parsed = parsed.astimezone(UTC)
    if isinstance(parsed, str):
        parsed.encode()  # half of a surrogate pair can be written in JSON, but not into a database
    if isinstance(parsed, int) and abs(parsed) >= BIGINT:
        raise ValueError("more than a column holds")
    return parsed


class PageQuery(BaseModel):
    """The parameters of a list."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAXIMUM_LIMIT, description="Items on a page")
    cursor: str | None = Field(None, max_length=CURSOR_LENGTH, description="`next_cursor` of the page before")

    @property
    def paging(self) -> Paging:
        """Which page."""
        return Paging(self.limit, self.cursor)


async def paging(query: Annotated[PageQuery, Query()]) -> Paging:
    """Dependency: which page is asked for."""
    return query.paging


InPage = Annotated[Paging, Depends(paging)]
