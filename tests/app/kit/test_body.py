"""Bodies that say one thing twice are refused, and so are fields that nobody knows."""

from urllib.parse import urlencode

import pytest
from fastapi.routing import APIRoute

from app.kit.body import REPORTED, StrictRoute
from app.main import ROUTERS
from tests.app.conftest import RunningApi

LOGIN = "/api/v1/auth/login"
JSON = {"Content-Type": "application/json"}


def test_every_operation_with_a_body_is_strict() -> None:
    routes = [
        route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute) and route.body_field
    ]
    assert len(routes) > 10
    assert [route.path for route in routes if not isinstance(route, StrictRoute)] == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (LOGIN, '{"email": "a@example.com", "password": "x", "email": "b@example.com"}', "email"),
        (LOGIN, '{"email": "a@example.com", "password": "x", "\\u0065mail": "a@example.com"}', "email"),
        (
            "/api/v1/quotes",
            '{"service_id": "x", "extras": [{"extra_id": "x", "quantity": 1, "quantity": 2}]}',
            "quantity",
        ),
        (LOGIN, '{"\\ud800": 1, "\\ud800": 2}', "?"),
    ],
)
def test_a_name_that_comes_twice_in_an_object_is_refused(api: RunningApi, path: str, body: str, field: str) -> None:
    answer = api.anonymous.post(path, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation-failed")
    (error,) = answer.json()["errors"]
    assert (error["location"], error["field"], error["code"]) == ("body", field, "repeated")


def test_an_answer_lists_only_so_many_names(api: RunningApi) -> None:
    names = [f'"x{number}": 1' for number in range(1000)]
    answer = api.anonymous.post(LOGIN, content="{" + ", ".join(names * 2) + "}", headers=JSON)
    assert (answer.status_code, len(answer.json()["errors"])) == (422, REPORTED)


@pytest.mark.parametrize(
    ("more", "field", "code"),
    [({"surprise": "1"}, "surprise", "extra_forbidden"), ({"password": "other"}, "password", "repeated")],
)
def test_forms_are_as_strict(api: RunningApi, more: dict[str, str], field: str, code: str) -> None:
    person = api.person()
    good = urlencode({"username": person.email, "password": person.password, "scope": "", "client_id": ""})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert api.anonymous.post("/api/v1/auth/token", content=good, headers=headers).status_code == 200
    answer = api.anonymous.post("/api/v1/auth/token", content=f"{good}&{urlencode(more)}", headers=headers)
    assert answer.status_code == 422
    assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [(field, code)]
