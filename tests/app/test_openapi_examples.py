"""Each example of the OpenAPI document works as it stands, in a company that `seed` has made."""

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
from tests.app.conftest import House, api_server, environment_of, redis_server
from tests.app.operations import OPERATIONS, World
from tests.app.test_queries import whoever_may
from tests.app.test_roles import MAIL

Json = dict[str, Any]

ZONE = ZoneInfo("Pacific/Auckland")
"""Of the company: half a day from UTC."""
REFUSED = {
    "refresh": (401, "a refresh token belongs to one session, and is good for one use"),
    "verify_email": (404, "a code is sent by e-mail"),
    "reset_password": (404, "a code is sent by e-mail"),
}
"""Examples that cannot work, with the status they get and why."""
OF_A_NEWCOMER = {"login", "login_form"}
"""Operations whose example is the account of the example of `register`."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[World]:
    """The company of `seed`, and people of every role."""
    directory = tmp_path_factory.mktemp("examples")
    shutil.copy(migrated, directory / "test.db")
    with redis_server(directory) as redis, ExitStack() as clients:
        environment = environment_of(directory, redis) | MAIL | {"BUSINESS_TIMEZONE": ZONE.key}
        subprocess.run([sys.executable, "-m", "app", "seed"], env=environment, cwd=directory, check=True)
        with api_server(directory, environment) as server:
            world = World(House(server, clients))
            # Examples are of what the company offers, not of what this helper has added.
            execute(world.database, "UPDATE cleaning_service SET is_active = 0 WHERE id = ?", world.service)
            yield world


def document(world: World) -> tuple[Json, dict[str, tuple[str, str, Json]]]:
    """The document as it is right now, and method, path and description of each operation by its id."""
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
    """Send the request of the examples; `path`: the same with ids that only its user can know."""
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
def test_every_example_works(world: World, operation: str) -> None:
    _, operations = document(world)
    if operation in OF_A_NEWCOMER:
        assert ask(world.http, operations["register"]).status_code == 201
    world.acting = whoever_may(world, operation)
    call = OPERATIONS[operation](world)
    person = world.house.person(world.acting.role) if world.acting and call.by_somebody_new else world.acting
    of_the_catalogue = "{service_id}" in operations[operation][1]
    path = None if of_the_catalogue else call.path.partition("?")[0]
    if operation == "change_user":  # whose role nobody else needs
        path = f"/api/v1/users/{world.house.person().id}"
    answer = ask(world.http, operations[operation], path, world.token(person) if person else None)
    expected = {REFUSED[operation][0]} if operation in REFUSED else {200, 201, 202, 204}
    assert answer.status_code in expected, answer.text


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.startswith(("list_", "read_"))])
def test_every_example_of_a_filter_works(world: World, operation: str) -> None:
    _, operations = document(world)
    world.acting = whoever_may(world, operation)
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


def test_a_newcomer_goes_from_the_top_of_the_page_to_a_visit(world: World) -> None:
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


def test_two_readers_do_not_get_each_others_examples(world: World) -> None:
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


def test_no_example_lies_in_the_past(world: World) -> None:
    text = world.http.get("/openapi.json").text
    today = datetime.now(UTC).date()
    days = [date.fromisoformat(found) for found in re.findall(r'"(20[0-9]{2}-[0-9]{2}-[0-9]{2})[T"]', text)]
    assert len(days) > 5
    assert min(days) > today


def test_without_a_catalogue_the_document_is_there_all_the_same(client: httpx.Client) -> None:
    assert client.get("/api/v1/services").json()["items"] == []
    assert client.get("/openapi.json").status_code == 200
