"""Errors of the API as problem details (RFC 9457): one base class carries status, type and OpenAPI entry."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one part of the request."""

    location: str = Field(description="`body`, `query`, `path` or `header`", examples=["body"])
    field: str = Field(description="Name of the field, dots between levels", examples=["email"])
    code: str = Field(description="Stable, machine-readable reason", examples=["string_too_short"])
    message: str = Field(description="The reason for a person", examples=["String should have at least 8 characters"])


class ProblemDetails(BaseModel):
    """Body of every error."""

    type: str = Field(description="Stable identifier of the kind of problem")
    title: str = Field(description="The kind of problem for a person; the same for every occurrence")
    status: int = Field(description="The HTTP status again")
    detail: str = Field(description="What happened this time")
    request_id: str | None = Field(None, description="Quote it when asking for help; also in X-Request-ID")
    errors: list[FieldError] | None = Field(
        None, description="The wrong parts of the request, when that is the problem"
    )
    existing_id: str | None = Field(
        None, description="Of what is there already; in the problems `duplicate-booking` and `duplicate-day-off`"
    )
    reference: str | None = Field(
        None, description="Of the booking that is there already; in the problem `duplicate-booking`"
    )


class Problem(HTTPException):
    """Base of all errors the API answers with. Subclasses set the class variables, and that is all.

    It is an HTTPException because FastAPI turns any other exception raised while it reads a body into a 400.
    """

    status: ClassVar[HTTPStatus]
    slug: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    """Default of `detail`."""
    retry_after: ClassVar[int | None] = None
    """Seconds after which trying again makes sense."""
    extra_headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    example_members: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Of the example in the OpenAPI document: extension members, which are fields of ProblemDetails."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after: int | None = None,
        errors: list[FieldError] | None = None,
        **members: str,
    ) -> None:
        self.errors = errors
        self.members = members
        headers = dict(self.extra_headers)
        seconds = retry_after or self.retry_after
        if seconds is not None:
            headers["Retry-After"] = str(seconds)
        super().__init__(self.status, detail or self.explanation, headers)

    def response(self) -> JSONResponse:
        """The answer to send."""
        return _respond(
            ProblemDetails(
                type=f"/problems/{self.slug}",
                title=self.title,
                status=self.status,
                detail=self.detail,
                errors=self.errors,
                **self.members,
            ),
            self.headers,
        )


class NotFound(Problem):
    """There is no such thing, or it is none of the caller's business."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-found"
    title = "Not found"
    explanation = "There is nothing here that you may see."


class Forbidden(Problem):
    """The caller's role does not allow it."""

    status = HTTPStatus.FORBIDDEN
    slug = "forbidden"
    title = "Not allowed"
    explanation = "Your role does not allow this."


class ValidationFailed(Problem):
    """The request was understood but its content is wrong."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "validation-failed"
    title = "The request has wrong or missing fields"
    explanation = "See `errors` for each of them."


class PayloadTooLarge(Problem):
    """The body is larger than MAX_BODY_BYTES."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "payload-too-large"
    title = "The body is too large"
    explanation = "Send less."
    extra_headers = (("Connection", "close"),)  # or the rest of the body would still be received


class TooManyRequests(Problem):
    """A rate limit is used up."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-requests"
    title = "Too many requests"
    explanation = "Too many attempts. Wait for as long as Retry-After says."
    retry_after = 60


class InternalError(Problem):
    """A mistake of ours."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "internal-error"
    title = "Internal error"
    explanation = "Something went wrong on our side; it has been logged."


class Overloaded(Problem):
    """A queue or a limit is full, and waiting would only make it worse."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "overloaded"
    title = "Too busy at the moment"
    explanation = "The service is handling as much as it can. Try again shortly."
    retry_after = 2


class DatabaseUnavailable(Problem):
    """The database did not do its work within DATABASE_TIMEOUT, or cannot be used at all."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "database-unavailable"
    title = "The database is not available"
    explanation = "The database did not answer in time. Try again shortly."
    retry_after = 5


class DatabaseFileMoved(DatabaseUnavailable):
    """The database's file was removed or replaced while this process had it open."""

    slug = "database-file-moved"
    title = "The database file was removed or replaced"
    explanation = "The database file that is open is not the one at its path."


class BadGateway(Problem):
    """The proxy got no sound answer from the API."""

    status = HTTPStatus.BAD_GATEWAY
    slug = "service-unavailable"
    title = "The service is not available right now"
    explanation = "The service did not answer. Try again shortly."


class DeadlineExceeded(Problem):
    """The request took longer than REQUEST_TIMEOUT."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    slug = "deadline-exceeded"
    title = "The request took too long"
    explanation = "The request was given up. It may or may not have taken effect."


WHEN_MISSING: dict[str, type[Problem]] = {}
"""By name of a header, in lower case: what is answered without it, instead of ValidationFailed."""


def responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of an operation that can answer with these problems."""
    documented: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        entry = documented.setdefault(
            problem.status.value,
            {
                "description": problem.status.phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][problem.slug] = {
            "summary": problem.title,
            "value": {
                "type": f"/problems/{problem.slug}",
                "title": problem.title,
                "status": problem.status.value,
                "detail": problem.explanation,
                **dict(problem.example_members),
            },
        }
    return documented


def _respond(details: ProblemDetails, headers: Mapping[str, str] | None = None) -> JSONResponse:
    details.request_id = structlog.contextvars.get_contextvars().get("request_id")
    return JSONResponse(details.model_dump(exclude_none=True), details.status, headers=headers, media_type=MEDIA_TYPE)


async def _on_http_exception(_: Request, error: HTTPException) -> JSONResponse:
    """Answer for our own problems, and for what the framework raises itself (404, 405, 400)."""
    if isinstance(error, Problem):
        return error.response()
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's answer to bytes that are no text
        unreadable = FieldError(location="body", field="", code="json_invalid", message=str(error.detail))
        return ValidationFailed(errors=[unreadable]).response()
    phrase = HTTPStatus(error.status_code).phrase
    details = ProblemDetails(
        type=f"/problems/{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=error.status_code,
        detail=str(error.detail),
    )
    return _respond(details, error.headers)


async def _on_invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
    """List the wrong fields, never what was sent: it may hold a password."""
    for wrong in error.errors():
        if wrong["type"] == "missing" and wrong["loc"][0] == "header" and wrong["loc"][1] in WHEN_MISSING:
            return WHEN_MISSING[wrong["loc"][1]]().response()
    errors = [
        FieldError(
            location=str(wrong["loc"][0]),
            field=".".join(str(part) for part in wrong["loc"][1:]),
            code=wrong["type"],
            message=wrong["msg"],
        )
        for wrong in error.errors()
    ]
    return ValidationFailed(errors=errors).response()


def install(app: FastAPI) -> None:
    """Make the application answer every error with problem details."""
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid_request)
