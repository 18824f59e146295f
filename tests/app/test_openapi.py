"""The promise to consumers: complete, and kept by routes that never leave the event loop unasked."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.main import ROUTERS, create_app
from app.settings import Settings

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


def test_every_schema_that_is_referred_to_exists(application: FastAPI) -> None:
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

    known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
    assert set(references(schema)) == known


def test_no_route_and_no_dependency_uses_the_frameworks_threads(application: FastAPI) -> None:
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


def test_the_command_prints_it(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "app", "openapi"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["info"]["title"] == "Cleaning service API"
