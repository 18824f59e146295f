"""Each example of the OpenAPI document works unchanged, in a company created by `seed`."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.app.company import execute
from tests.app.conftest import RunningApi, api_server, environment_of, redis_server
from tests.app.operations import OPERATIONS, World
from tests.app.test_queries import allowed_caller
from tests.app.test_roles import MAIL

Json = dict[str, Any]

ZONE = ZoneInfo("Pacific/Auckland")
"""Time zone of the company; half a day from UTC."""
REFUSED = {
    "refresh": (401, "a refresh token belongs to one session, and is good for one use"),
    "verify_email": (404, "a code is sent by e-mail"),
    "reset_password": (404, "a code is sent by e-mail"),
}
"""Examples that cannot work, with their status and the reason."""
AFTER_REGISTRATION = {"login", "login_form"}
"""Operations whose example is the account in the example of `register`."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[World]:
    """The company of `seed`, and users of every role."""
    directory = tmp_path_factory.mktemp("examples")
    shutil.copy(migrated, directory / "test.db")
    with redis_server(directory) as redis, ExitStack() as clients:
        environment = environment_of(directory, redis) | MAIL | {"BUSINESS_TIMEZONE": ZONE.key}
        subprocess.run([sys.executable, "-m", "app", "seed"], env=environment, cwd=directory, check=True)
        with api_server(directory, environment) as server:
            world = World(RunningApi(server, clients))
            # The examples must use the services of `seed`, not the one of this helper.
            execute(world.database, "UPDATE cleaning_service SET is_active = 0 WHERE id = ?", world.service)
            yield world


def document(world: World) -> tuple[Json, dict[str, tuple[str, str, Json]]]:
    """The current document, and the method, path and description of each operation by its id."""
    found = world.http.get("/openapi.json").json()
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, each in found["paths"].items()
        for method, operation in each.items()
    }
    return found, operations


def ask(
    http: httpx.Client, described: tuple[str, str, Json], path: str | None = None, token: str | None = None
) -> httpx.Response:
    """Send the request of the examples. `path` replaces the example path if it needs ids of real objects."""
    method, template, operation = described
    parameters = [each for each in operation.get("parameters", ()) if "example" in each]
    given = {
        place: {each["name"]: str(each["example"]) for each in parameters if each["in"] == place}
        for place in ("path", "query", "header")
    }
    url = path or template.format(**given["path"])
    headers = given["header"] | ({"Authorization": f"Bearer {token}"} if token else {})
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        example = content["application/json"]["example"]
        return http.request(method, url, params=given["query"], headers=headers, json=example)
    for media_type, form in content.items():
        headers |= {"Content-Type": media_type}
        return http.request(method, url, params=given["query"], headers=headers, content=urlencode(form["example"]))
    return http.request(method, url, params=given["query"], headers=headers)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_example_works(world: World, operation: str) -> None:
    _, operations = document(world)
    if operation in AFTER_REGISTRATION:
        assert ask(world.http, operations["register"]).status_code == 201
    world.acting = allowed_caller(world, operation)
    call = OPERATIONS[operation](world)
    person = world.api.person(world.acting.role) if world.acting and call.needs_new_caller else world.acting
    of_the_catalogue = "{service_id}" in operations[operation][1]
    path = None if of_the_catalogue else call.path.partition("?")[0]
    if operation == "change_user":  # of a user that no other test needs
        path = f"/api/v1/users/{world.api.person().id}"
    answer = ask(world.http, operations[operation], path, world.token(person) if person else None)
    expected = {REFUSED[operation][0]} if operation in REFUSED else {200, 201, 202, 204}
    assert answer.status_code in expected, answer.text


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.startswith(("list_", "read_"))])
def test_every_filter_example_works(world: World, operation: str) -> None:
    _, operations = document(world)
    world.acting = allowed_caller(world, operation)
    call = OPERATIONS[operation](world)
    token = world.token(world.acting) if world.acting else None
    for parameter in operations[operation][2].get("parameters", ()):
        schemas = [parameter["schema"], *parameter["schema"].get("anyOf", ())]
        values = [value for schema in schemas for value in schema.get("examples", ())]
        if parameter["in"] == "query" and not parameter["required"] and values:
            (value,) = values
            answer = world.http.get(
                call.path.partition("?")[0],
                params=dict(httpx.URL(call.path).params) | {parameter["name"]: value},
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
            assert answer.status_code == 200, (parameter["name"], answer.text)


def test_examples_lead_a_new_user_to_a_booking(world: World) -> None:
    _, operations = document(world)
    assert ask(world.http, operations["register"]).status_code == 201
    again = ask(world.http, operations["register"])  # "Execute", pressed twice
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    token = ask(world.http, operations["login"]).json()["access_token"]
    offer = ask(world.http, operations["list_services"]).json()["items"]
    quote = ask(world.http, operations["quote"]).json()
    assert quote["service_name"] == offer[0]["name"]
    free = ask(world.http, operations["read_availability"]).json()["days"][0]["slots"]
    booking = ask(world.http, operations["create_booking"], token=token)
    assert booking.status_code == 201, booking.text
    assert booking.json()["starts_at"] in {slot["starts_at"] for slot in free}
    starts_at = datetime.fromisoformat(booking.json()["starts_at"]).astimezone(ZONE)
    assert (starts_at.hour, starts_at.weekday() < 5) == (10, True)


def test_each_reader_gets_own_example_keys(world: World) -> None:
    first, second = document(world)[1], document(world)[1]
    for operation in ("register", "create_booking"):
        keys = {
            each["example"]
            for described in (first, second)
            for each in described[operation][2]["parameters"]
            if each["name"] == "Idempotency-Key"
        }
        assert len(keys) == 2
    assert ask(world.http, first["register"]).status_code == ask(world.http, second["register"]).status_code == 201


def test_examples_lie_in_the_future(world: World) -> None:
    text = world.http.get("/openapi.json").text
    today = datetime.now(UTC).date()
    days = [date.fromisoformat(found) for found in re.findall(r'"(20[0-9]{2}-[0-9]{2}-[0-9]{2})[T"]', text)]
    assert len(days) > 5
    assert min(days) > today


def test_document_works_with_an_empty_catalogue(client: httpx.Client) -> None:
    assert client.get("/api/v1/services").json()["items"] == []
    assert client.get("/openapi.json").status_code == 200
