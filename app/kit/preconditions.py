"""`ETag` and `If-Match` (RFC 9110): nobody overwrites a change that they have not seen."""

from http import HTTPStatus
from typing import Annotated, Protocol

from fastapi import Depends, Header, Response

from app.kit.problems import WHEN_MISSING, Problem


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


class Versioned(Protocol):
    """Has a version that every change raises."""

    version: int


def set_etag(response: Response, version: int) -> None:
    """Tell the client the version that it gets."""
    response.headers["ETag"] = f'"{version}"'


class Expected:
    """The version that a change is based on."""

    def __init__(self, version: int | None) -> None:
        """Remember it.

        Args:
            version: None for any.
        """
        self.version = version

    def check(self, found: Versioned) -> None:
        """Compare with what is there now; call it in the transaction that makes the change.

        Raises:
            PreconditionFailed: they differ.
        """
        if self.version is not None and self.version != found.version:
            raise PreconditionFailed


async def expected(
    if_match: Annotated[
        str, Header(pattern=r'^(\*|"\d{1,9}")$', description="The ETag that was read, or `*`", examples=["*"])
    ],
) -> Expected:
    """Dependency: the If-Match header."""
    return Expected(None if if_match == "*" else int(if_match.strip('"')))


async def optionally_expected(
    if_match: Annotated[
        str | None,
        Header(
            pattern=r'^(\*|"\d{1,9}")$',
            description="The ETag that was read: nothing is done when it has changed since. Without it: any version",
            examples=["*"],
        ),
    ] = None,
) -> Expected:
    """Dependency: the If-Match header of an operation that can do without it."""
    return Expected(None) if if_match is None else await expected(if_match)


WHEN_MISSING["if-match"] = PreconditionRequired
InExpected = Annotated[Expected, Depends(expected)]
InOptionalExpected = Annotated[Expected, Depends(optionally_expected)]
"""Any version without the header: for operations that clients have always called without it."""
CONFLICTS = (PreconditionRequired, PreconditionFailed)
"""What an operation with If-Match can answer with."""
