"""The OpenAPI document is complete, and no route uses the thread pool of the framework."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.kit import document
from app.kit.document import HEADERS
from app.kit.problems import ProblemDetails
from app.main import EXPOSED_HEADERS, ROUTERS, create_app
from app.settings import Settings
from tests.app.conftest import ROOT
from tests.app.test_roles import documented

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def application() -> FastAPI:
    """The application, not started."""
    return create_app(Settings(secret_key="s" * 32, canary_token="c" * 32))


def test_every_operation_is_described(application: FastAPI) -> None:
    schema = application.openapi()
    operations = [each for path in schema["paths"].values() for name, each in path.items() if name in METHODS]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        for status, answer in operation["responses"].items():
            if status >= "400" and operation["operationId"] != "health":
                assert list(answer["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in str(schema)
    assert schema["components"]["securitySchemes"]["AccessToken"]["type"] == "oauth2"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path and the description of each operation."""
    return ((path, each) for path, methods in document["paths"].items() for each in methods.values())


def test_schema_names_are_unique_for_client_generators(application: FastAPI) -> None:
    document = application.openapi()
    schemas = document["components"]["schemas"]
    names = [name.replace("_", "").lower() for name in schemas]
    assert len(set(names)) == len(names)
    assert {"BookingState", "NotificationState", "Liveness"} <= schemas.keys()
    assert not {"State", "Status"} & schemas.keys()
    # Client generators name types after titles, so a title equals the name of its schema, and inline schemas have none.
    titles = {name: schema["title"] for name, schema in schemas.items() if "title" in schema}
    assert {name for name, title in titles.items() if re.sub(r"[^A-Za-z]", "_", title) != name} == set()
    for part in (*(schema.get("properties", {}) for schema in schemas.values()), document["paths"]):
        assert list(titled(part)) == []


def titled(part: Any) -> Iterator[object]:  # noqa: ANN401  # any JSON
    """The nested schemas with a title."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            yield part
        for keyword, value in part.items():
            if keyword not in {"example", "examples", "default"}:
                yield from titled(value)
    elif isinstance(part, list):
        for each in part:
            yield from titled(each)


def test_public_operations_are_declared_without_security(application: FastAPI) -> None:
    found = {each["operationId"]: each["security"] for _, each in operations(application.openapi())}
    public = {name for name, security in found.items() if security == []}
    assert public == {name for name, statuses in documented().items() if statuses["nobody"] != 401}
    assert all(found[name] == [{"AccessToken": []}] for name in found.keys() - public)


@pytest.mark.parametrize(
    ("public_url", "expected"), [("", ["/"]), ("https://clean.example", ["/", "https://clean.example"])]
)
def test_document_lists_the_server_urls(public_url: str, expected: list[str]) -> None:
    settings = Settings(secret_key="s" * 32, canary_token="c" * 32, public_url=public_url)
    assert [each["url"] for each in create_app(settings).openapi()["servers"]] == expected


def test_prebuilt_document_equals_the_built_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = Settings(
        secret_key="o" * 32, canary_token="o" * 32, public_url="https://api.example.com", business_timezone="Asia/Tokyo"
    )
    built = create_app(other).openapi()
    monkeypatch.setattr(document, "PREBUILT", tmp_path / "document.json")
    document.prebuild(create_app(Settings(secret_key="s" * 32, canary_token="c" * 32)))
    monkeypatch.setattr(document, "_built", None)
    assert _without_examples(create_app(other).openapi()) == _without_examples(built)


def _without_examples(schema: Any) -> Any:  # noqa: ANN401  # any JSON
    """The schema without examples, which differ in each request."""
    if isinstance(schema, dict):
        return {key: _without_examples(each) for key, each in schema.items() if key not in {"example", "examples"}}
    return [_without_examples(each) for each in schema] if isinstance(schema, list) else schema


def test_list_parameters_are_repeated_parameters(application: FastAPI) -> None:
    found = [
        parameter
        for _, operation in operations(application.openapi())
        for parameter in operation.get("parameters", ())
        if parameter["schema"].get("type") == "array"
    ]
    assert len(found) == 4
    assert all((each["in"], each["style"], each["explode"]) == ("query", "form", True) for each in found)


def test_every_operation_documents_the_refusal_of_unknown_parameters(application: FastAPI) -> None:
    for path, operation in operations(application.openapi()):
        assert ("422" in operation["responses"]) is path.startswith("/api/"), path


def test_problems_of_the_proxy_are_as_documented(application: FastAPI) -> None:
    proxy = (ROOT / "roles" / "stack" / "templates" / "Caddyfile.j2").read_text()
    problems = [
        json.loads(each.replace("{http.error.status_code}", "503")) for each in re.findall(r"`(\{.*\})`", proxy)
    ]
    assert len(problems) == 2
    for problem in problems:
        ProblemDetails.model_validate(problem, strict=True)
    (away,) = [each for each in problems if each["type"] != "about:blank"]
    for _, operation in operations(application.openapi()):
        example = operation["responses"]["502"]["content"]["application/problem+json"]["examples"]
        assert example["service-unavailable"]["value"] | {"status": 503} == away


def test_cors_exposes_every_documented_header() -> None:
    assert {*EXPOSED_HEADERS} == HEADERS.keys() - {"WWW-Authenticate"}


def test_every_reference_resolves(application: FastAPI) -> None:
    schema = application.openapi()

    def references(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            for name, value in part.items():
                if name == "$ref":
                    yield str(value)
                else:
                    yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    known = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers") for name in schema["components"][kind]}
    assert set(references(schema)) == known


def test_routes_and_dependencies_are_coroutines(application: FastAPI) -> None:
    def functions(dependant: Dependant) -> Iterator[object]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from functions(inner)

    routes = [route for router in ROUTERS for route in router.routes]
    assert len(routes) > 10
    found = [
        call
        for route in [*routes, *application.routes]
        if isinstance(route, APIRoute)
        for call in functions(route.dependant)
    ]
    assert len(found) > 10
    for call in found:
        is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
        assert is_async, call
        assert not inspect.isasyncgenfunction(call), call


def test_command_prints_the_document(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "app", "openapi"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["info"]["title"] == "Cleaning service API"
