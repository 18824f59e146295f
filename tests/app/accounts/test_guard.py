"""Limits on wrong passwords."""

from collections.abc import Callable

import httpx
import pytest

from tests.app.accounts.test_registration import slug
from tests.app.conftest import RunningApi

ME = "/api/v1/users/me"
LIMIT = 10  # of LOGIN_FAILURES_PER_QUARTER_HOUR, by default
WRONG, RIGHT = "wrong horse battery", "correct horse battery"
BODIES = {"password": {"new_password": "staple battery horse"}, "email": {"new_email": "x@example.com"}, "erase": {}}


def count_until_refused(guess: Callable[[], httpx.Response], answer: tuple[int, str]) -> int:
    """Return how many attempts got this answer before one was refused."""
    for number in range(2 * LIMIT + 1):  # a new window may begin in between
        answered = guess()
        if answered.status_code == 429:
            assert slug(answered) == (429, "too-many-requests")
            assert 1 <= int(answered.headers["Retry-After"]) <= 15 * 60
            return number
        assert slug(answered) == answer
    return 2 * LIMIT + 1


@pytest.mark.parametrize("path", BODIES)
def test_wrong_current_passwords_are_limited(api: RunningApi, path: str) -> None:
    person = api.person()

    def guess(path: str, password: str) -> httpx.Response:
        return person.http.post(f"{ME}/{path}", json=BODIES[path] | {"current_password": password})

    assert LIMIT <= count_until_refused(lambda: guess(path, WRONG), (403, "wrong-password")) <= 2 * LIMIT
    for other in BODIES:
        assert slug(guess(other, RIGHT)) == (429, "too-many-requests")


def test_wrong_passwords_at_login_are_limited(api: RunningApi) -> None:
    person = api.person()

    def guess(password: str) -> httpx.Response:
        return api.anonymous.post("/api/v1/auth/login", json={"email": person.email, "password": password})

    assert LIMIT <= count_until_refused(lambda: guess(WRONG), (401, "invalid-credentials")) <= 2 * LIMIT
    assert slug(guess(RIGHT)) == (429, "too-many-requests")


def test_correct_passwords_are_not_limited(api: RunningApi) -> None:
    person, other = api.person(), api.person()
    body = {"new_email": other.email, "current_password": RIGHT}
    answers = [person.http.post(f"{ME}/email", json=body) for _ in range(2 * LIMIT + 1)]
    assert {slug(answer) for answer in answers} == {(409, "email-taken")}
