"""Headers: what the OpenAPI document says of each answer is what real answers have, and the other way round."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kit.document import HEADERS
from tests.app.conftest import Serve, open_house
from tests.app.operations import OPERATIONS, World
from tests.app.test_roles import MAIL, documented

Json = dict[str, Any]

OF_ANY_ANSWER = {
    "cache-control", "connection", "content-length", "content-security-policy", "content-type", "date",
    "referrer-policy", "x-content-type-options",
}  # fmt: skip
"""Left out of the document: HTTP's own, and those for browsers."""
NOT_ALWAYS = {"Idempotency-Replayed", "Retry-After"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[World]:
    """A company of this module's own."""
    with open_house(tmp_path_factory.mktemp("headers"), migrated, MAIL) as house:
        yield World(house)


@pytest.fixture(scope="module")
def operations(world: World) -> dict[str, Json]:
    """The operations of the document, by id."""
    paths = world.http.get("/openapi.json").json()["paths"]
    return {each["operationId"]: each for path in paths.values() for each in path.values()}


def said(operation: Json, status: int) -> set[str]:
    """Names of the headers that the document has for an answer."""
    return {name.lower() for name in operation["responses"][str(status)]["headers"]}


def sent(answer: httpx.Response) -> set[str]:
    """Names of the headers that an answer has, without those of any answer."""
    return {name.lower() for name in answer.headers} - OF_ANY_ANSWER


@pytest.mark.parametrize("operation", OPERATIONS)
def test_answers_have_the_headers_that_are_documented(
    world: World, operations: dict[str, Json], operation: str
) -> None:
    statuses = documented()[operation]
    for column, person in world.callers().items():
        world.acting = person
        call = OPERATIONS[operation](world)
        caller = world.house.person(person.role) if person and call.by_somebody_new else person
        token = world.token(caller) if caller else None
        answer = call.send(world.http, token)
        assert answer.status_code == statuses[column]
        expected = said(operations[operation], answer.status_code)
        assert sent(answer) == expected - {name.lower() for name in NOT_ALWAYS}, column
        if "Idempotency-Key" in call.headers and answer.status_code < 300:
            again = call.send(world.http, token)
            assert (again.status_code, again.headers["Idempotency-Replayed"]) == (answer.status_code, "true")
            assert sent(again) == expected - {"retry-after"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_refusals_have_the_headers_that_are_documented(
    world: World, operations: dict[str, Json], operation: str
) -> None:
    call = OPERATIONS[operation](world)
    if operation not in {"health", "live", "ready"}:
        answer = world.http.request(call.method, call.path.partition("?")[0] + "?surprise=1")
        assert answer.status_code == 422
        assert sent(answer) == said(operations[operation], 422)
    if call.json is not None:
        answer = world.http.request(call.method, call.path, content=b"x" * 1_048_577)
        assert answer.status_code == 413
        assert sent(answer) == said(operations[operation], 413)


def test_who_has_the_newest_already_gets_the_documented_headers(world: World, operations: dict[str, Json]) -> None:
    for operation in ("list_services", "read_service"):
        call = OPERATIONS[operation](world)
        tag = call.send(world.http, None).headers["ETag"]
        answer = world.http.get(call.path, headers={"If-None-Match": tag})
        assert answer.status_code == 304
        assert sent(answer) == said(operations[operation], 304)


def test_too_many_requests_have_the_documented_headers(serve: Serve, operations: dict[str, Json]) -> None:
    server = serve(REQUESTS_PER_MINUTE_PER_ADDRESS="1")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        answers = [client.get("/api/v1/services") for _ in range(4)]  # a window may end in between
    answer = next(each for each in answers if each.status_code == 429)
    assert sent(answer) == said(operations["list_services"], 429)


def test_every_answer_says_when_to_come_again_where_that_helps(operations: dict[str, Json]) -> None:
    for name, operation in operations.items():
        answers = operation["responses"]
        # Of the API, and of the proxy before it.
        assert {"500", "502", "503", "504"} <= answers.keys(), name
        for status in {"429", "502", "503", "504"} & answers.keys():
            assert "Retry-After" in answers[status]["headers"], (name, status)
        assert all("X-Request-ID" in answer["headers"] for answer in answers.values())


def test_every_documented_header_is_described_once(world: World, operations: dict[str, Json]) -> None:
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
