"""Conditional requests (RFC 9110, section 13): `ETag`, `If-None-Match` and `If-Match`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Protocol

from fastapi import Depends, Header, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.kit.problems import WHEN_MISSING, FieldError, Problem, ValidationFailed

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = rf"^[ \t]*(?:\*|(?:,[ \t]*)*{_TAG}(?:[ \t]*,(?:[ \t]*{_TAG})?)*)[ \t]*$"
DOCUMENTED_PATTERN = r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'
"""What clients send, simpler than what is accepted."""
_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_FIELD_VALUE = re.compile(_LIST)
_ENCODING = re.compile(r"-(?:gzip|zstd|br)$")
"""What the proxy appends to the tag of an answer that it compresses."""


class PreconditionRequired(Problem):
    """The change does not say which version it is based on."""

    status = HTTPStatus.PRECONDITION_REQUIRED
    slug = "precondition-required"
    title = "If-Match is missing"
    explanation = 'Send the ETag of the version that you have seen as If-Match: "…", or If-Match: * to overwrite.'


class PreconditionFailed(Problem):
    """Somebody else was faster."""

    status = HTTPStatus.PRECONDITION_FAILED
    slug = "precondition-failed"
    title = "It has changed since you read it"
    explanation = "Read it again, and repeat the change with the new ETag if it still makes sense."


@dataclass(frozen=True, slots=True)
class EntityTag:
    """A tag that a client sent."""

    value: str
    """Without quotes, and without the encoding that the proxy appends."""
    weak: bool = False


def entity_tags(lines: Iterable[str]) -> frozenset[EntityTag] | None:
    """Read the values of `If-Match` or `If-None-Match`; several lines are one list.

    Returns:
        The tags; None for `*`, which stands for any.

    Raises:
        ValueError: this is neither `*` nor a list of tags.
    """
    joined = ", ".join(lines)
    if not _FIELD_VALUE.match(joined):
        raise ValueError("neither * nor a list of entity tags")
    if joined.strip() == "*":
        return None
    return frozenset(
        EntityTag(_ENCODING.sub("", value), weak=bool(weak)) for weak, value in _ENTITY_TAG.findall(joined)
    )


def set_etag(response: Response, version: int) -> None:
    """Tell the client the version that it gets."""
    response.headers["ETag"] = f'"{version}"'


NOT_MODIFIED = 304
PARAMETER = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "ETags that the client has, or `*`; the answer is 304 when the newest is among them",
}
"""Of an operation, for OpenAPI's `parameters`."""
DOCUMENTED: dict[int | str, dict[str, Any]] = {NOT_MODIFIED: {"description": "The client has the newest state already"}}
"""Of an operation, for OpenAPI's `responses`."""


def unchanged(request: Request, etag: str) -> bool:
    """Whether the client has the state with this (strong) tag already.

    Tags are compared weakly, as is due for GET; a header that cannot be read is ignored.
    """
    offered = request.headers.getlist("if-none-match")
    if not offered:
        return False
    if offered == [etag]:
        return True
    try:
        tags = entity_tags(offered)
    except ValueError:
        return False
    return tags is None or etag.strip('"') in {tag.value for tag in tags}


class Versioned(Protocol):
    """Has a version that every change raises."""

    version: int


class Expected:
    """The version that a change is based on."""

    def __init__(self, tags: Iterable[EntityTag] | None) -> None:
        """Remember it.

        Args:
            tags: of the versions that will do; None for any.
        """
        self._versions = None if tags is None else {tag.value for tag in tags if not tag.weak}

    def check(self, found: Versioned) -> None:
        """Compare with the current version; call it in the transaction that makes the change.

        Tags are compared strongly: a weak one matches nothing.

        Raises:
            PreconditionFailed: they differ.
        """
        if self._versions is not None and str(found.version) not in self._versions:
            raise PreconditionFailed


ANY_VERSION = Expected(None)


def _if_match(description: str) -> Any:  # noqa: ANN401  # as FastAPI declares its headers
    # Documented only: all lines of the header are one list, which `_expected` checks.
    return Header(description=description, examples=["*"], json_schema_extra={"pattern": DOCUMENTED_PATTERN})


def _expected(request: Request) -> Expected:
    try:
        return Expected(entity_tags(request.headers.getlist("if-match")))
    except ValueError as error:
        wrong = FieldError(location="header", field="if-match", code="entity_tag", message=str(error))
        raise ValidationFailed(errors=[wrong]) from error


async def expected(
    request: Request, if_match: Annotated[str, _if_match("The ETag that was read, several of them, or `*`")]
) -> Expected:
    """Dependency: the If-Match header, which must be there."""
    del if_match  # declares that it must be there; all lines count
    return _expected(request)


async def optionally_expected(
    request: Request,
    if_match: Annotated[
        str | SkipJsonSchema[None],
        _if_match("The ETag that was read, several, or `*`; without it any version will do"),
    ] = None,
) -> Expected:
    """Dependency: the If-Match header, if there is one."""
    return ANY_VERSION if if_match is None else _expected(request)


WHEN_MISSING["if-match"] = PreconditionRequired
InExpected = Annotated[Expected, Depends(expected)]
InOptionalExpected = Annotated[Expected, Depends(optionally_expected)]
CONFLICTS = (PreconditionRequired, PreconditionFailed)
"""What an operation with If-Match can answer with."""
