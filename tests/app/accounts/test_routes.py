"""Registration, login and the signed-in user over HTTP."""

import httpx
import pytest

from tests.app.conftest import Server, new_user


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """Check that the answer is a problem document with this status, and return it."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body: dict[str, object] = answer.json()
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    return body


def log_in(client: httpx.Client, user: dict[str, str]) -> httpx.Response:
    return client.post("/api/v1/auth/login", json={"email": user["email"], "password": user["password"]})


def test_register_log_in_and_read_me(client: httpx.Client, server: Server) -> None:
    user = new_user() | {"phone": "+4915112345678"}
    registered = client.post("/api/v1/auth/register", json=user)
    assert registered.status_code == 201
    assert registered.json()["email"] == user["email"]
    assert "password" not in registered.text
    assert server.rows() == 1
    token = log_in(client, user).json()
    assert (token["token_type"], token["expires_in"]) == ("bearer", 900)
    me = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert me.status_code == 200
    assert me.json() == registered.json()


def test_email_addresses_are_case_insensitive(client: httpx.Client) -> None:
    user = new_user()
    assert client.post("/api/v1/auth/register", json=user).status_code == 201
    again = client.post("/api/v1/auth/register", json=user | {"email": user["email"].upper()})
    problem(again, 409)
    assert log_in(client, user | {"email": user["email"].upper()}).status_code == 200


@pytest.mark.parametrize("change", [{"password": "wrong horse battery"}, {"email": "nobody@example.com"}])
def test_login_does_not_reveal_known_addresses(client: httpx.Client, change: dict[str, str]) -> None:
    user = new_user()
    client.post("/api/v1/auth/register", json=user)
    answer = log_in(client, user | change)
    assert problem(answer, 401)["type"] == problem(log_in(client, new_user()), 401)["type"]


@pytest.mark.parametrize("header", [None, "Bearer x", "Bearer a.b.c", "Basic eDp5"])
def test_request_without_a_valid_token_is_refused(client: httpx.Client, header: str | None) -> None:
    answer = client.get("/api/v1/users/me", headers={"Authorization": header} if header else {})
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "change",
    [
        {"email": "no address"},
        {"password": "short"},
        {"password": "x" * 129},
        {"full_name": ""},
        {"phone": "12 34"},
        {"email": None},
    ],
)
def test_validation_errors_name_the_field_and_hide_the_password(
    client: httpx.Client, server: Server, change: dict[str, object]
) -> None:
    answer = client.post("/api/v1/auth/register", json=new_user() | change)
    body = problem(answer, 422)
    assert next(iter(change)) in str(body["errors"])
    assert "correct horse battery" not in answer.text
    assert "x" * 129 not in answer.text
    assert server.rows() == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/api/v1/auth/login", 405), ("GET", "/docs/x", 404)],
)
def test_framework_errors_are_problem_documents(client: httpx.Client, method: str, path: str, status: int) -> None:
    problem(client.request(method, path), status)


def test_failed_logins_are_limited(client: httpx.Client) -> None:
    user = new_user()
    client.post("/api/v1/auth/register", json=user)
    answers = [log_in(client, user | {"password": "wrong horse battery"}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    problem(answers[-1], 429)
    assert log_in(client, new_user()).status_code == 401
