"""Queries take only what they know: a misspelt filter would otherwise filter nothing, and answer with everything."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.kit.problems import FieldError, ValidationFailed

REPORTED = 20
"""Wrong names that one answer lists at most: a query has room for thousands."""
NAME_LENGTH = 100  # characters of a wrong name that the answer repeats


@dataclass(frozen=True)
class QueryNames:
    """The parameters that an operation has in its query."""

    known: frozenset[str]
    several: frozenset[str]
    """Of these, what may be sent several times."""

    @classmethod
    def of(cls, route: APIRoute) -> "QueryNames":
        """What the route's function, its dependencies and its `openapi_extra` declare."""
        declared = dict([*_of_dependencies(route.dependant), *_of_document(route)])
        return cls(frozenset(declared), frozenset(name for name, several in declared.items() if several))

    def check(self, query: bytes) -> None:
        """Refuse a query with a name that is not known, or with a single one twice.

        Args:
            query: as it was sent, without the question mark.

        Raises:
            ValidationFailed: with an entry for each such name.
        """
        sent = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        wrong = []
        for name, times in sent.items():
            if name not in self.known:
                wrong.append(_wrong(name, "unknown", "There is no such parameter here"))
            elif times > 1 and name not in self.several:
                wrong.append(_wrong(name, "repeated", "Only one value is possible"))
        if wrong:
            raise ValidationFailed(errors=wrong[:REPORTED])


def _wrong(name: str, code: str, message: str) -> FieldError:
    return FieldError(location="query", field=name[:NAME_LENGTH], code=code, message=message)


def _of_dependencies(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Names of what FastAPI reads from the query, and whether each may come several times."""
    for inner in dependant.dependencies:
        yield from _of_dependencies(inner)
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, described in annotation.model_fields.items():
                yield described.alias or name, _is_list(described.annotation)
        else:
            yield field.alias, _is_list(annotation)


def _of_document(route: APIRoute) -> Iterator[tuple[str, bool]]:
    """The same of what a lean route reads itself, and declares for the document."""
    parameters: Iterable[dict[str, Any]] = (route.openapi_extra or {}).get("parameters", ())
    for parameter in parameters:
        if parameter["in"] == "query":
            yield parameter["name"], parameter["schema"].get("type") == "array"


def _is_list(annotation: Any) -> bool:  # noqa: ANN401  # any type
    if get_origin(annotation) is list:
        return True
    return any(_is_list(part) for part in get_args(annotation))
