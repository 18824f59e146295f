"""The response headers in the OpenAPI document equal those of real answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kit.document import HEADERS
from tests.app.conftest import Serve, run_api
from tests.app.operations import OPERATIONS, World
from tests.app.test_roles import MAIL, documented

Json = dict[str, Any]

UNDOCUMENTED = {
    "cache-control", "connection", "content-length", "content-security-policy", "content-type", "date",
    "referrer-policy", "x-content-type-options",
}  # fmt: skip
"""Headers of HTTP and for browsers, which the document leaves out."""
OPTIONAL = {"Idempotency-Replayed", "Retry-After"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[World]:
    """A company for the tests of this module."""
    with run_api(tmp_path_factory.mktemp("headers"), migrated, MAIL) as api:
        yield World(api)


@pytest.fixture(scope="module")
def operations(world: World) -> dict[str, Json]:
    """The operations of the document, by id."""
    paths = world.http.get("/openapi.json").json()["paths"]
    return {each["operationId"]: each for path in paths.values() for each in path.values()}


def documented_headers(operation: Json, status: int) -> set[str]:
    """Names of the headers in the document for an answer."""
    return {name.lower() for name in operation["responses"][str(status)]["headers"]}


def sent_headers(answer: httpx.Response) -> set[str]:
    """Names of the headers of an answer, without those of every answer."""
    return {name.lower() for name in answer.headers} - UNDOCUMENTED


@pytest.mark.parametrize("operation", OPERATIONS)
def test_successful_answers_have_the_documented_headers(
    world: World, operations: dict[str, Json], operation: str
) -> None:
    statuses = documented()[operation]
    for column, person in world.callers().items():
        world.acting = person
        call = OPERATIONS[operation](world)
        caller = world.api.person(person.role) if person and call.needs_new_caller else person
        token = world.token(caller) if caller else None
        answer = call.send(world.http, token)
        assert answer.status_code == statuses[column]
        expected = documented_headers(operations[operation], answer.status_code)
        assert sent_headers(answer) == expected - {name.lower() for name in OPTIONAL}, column
        if "Idempotency-Key" in call.headers and answer.status_code < 300:
            again = call.send(world.http, token)
            assert (again.status_code, again.headers["Idempotency-Replayed"]) == (answer.status_code, "true")
            assert sent_headers(again) == expected - {"retry-after"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_error_answers_have_the_documented_headers(world: World, operations: dict[str, Json], operation: str) -> None:
    call = OPERATIONS[operation](world)
    if operation not in {"health", "live", "ready"}:
        answer = world.http.request(call.method, call.path.partition("?")[0] + "?surprise=1")
        assert answer.status_code == 422
        assert sent_headers(answer) == documented_headers(operations[operation], 422)
    if call.json is not None:
        answer = world.http.request(call.method, call.path, content=b"x" * 1_048_577)
        assert answer.status_code == 413
        assert sent_headers(answer) == documented_headers(operations[operation], 413)


def test_not_modified_answers_have_the_documented_headers(world: World, operations: dict[str, Json]) -> None:
    for operation in ("list_services", "read_service"):
        call = OPERATIONS[operation](world)
        tag = call.send(world.http, None).headers["ETag"]
        answer = world.http.get(call.path, headers={"If-None-Match": tag})
        assert answer.status_code == 304
        assert sent_headers(answer) == documented_headers(operations[operation], 304)


def test_rate_limited_answers_have_the_documented_headers(serve: Serve, operations: dict[str, Json]) -> None:
    server = serve(REQUESTS_PER_MINUTE_PER_ADDRESS="1")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        answers = [client.get("/api/v1/services") for _ in range(4)]  # a window may end in between
    answer = next(each for each in answers if each.status_code == 429)
    assert sent_headers(answer) == documented_headers(operations["list_services"], 429)


def test_retryable_answers_document_retry_after(operations: dict[str, Json]) -> None:
    for name, operation in operations.items():
        answers = operation["responses"]
        # Answers of the API, and of the proxy in front of it.
        assert {"500", "502", "503", "504"} <= answers.keys(), name
        for status in {"429", "502", "503", "504"} & answers.keys():
            assert "Retry-After" in answers[status]["headers"], (name, status)
        assert all("X-Request-ID" in answer["headers"] for answer in answers.values())


def test_each_documented_header_is_described_once(world: World, operations: dict[str, Json]) -> None:
    described = world.http.get("/openapi.json").json()["components"]["headers"]
    assert described.keys() == HEADERS.keys()
    assert all(each["description"] and each["schema"] for each in described.values())
    used = {
        name
        for operation in operations.values()
        for answer in operation["responses"].values()
        for name, header in answer["headers"].items()
        if header == {"$ref": f"#/components/headers/{name}"}
    }
    assert used == described.keys()
