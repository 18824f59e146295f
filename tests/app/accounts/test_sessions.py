"""Logins, refresh tokens that are good for one use, and their end."""

import concurrent.futures

import httpx
import pytest
from argon2 import PasswordHasher

from tests.app.accounts.conftest import rows
from tests.app.accounts.test_registration import log_in, slug
from tests.app.conftest import House, new_user

REFRESH = "/api/v1/auth/refresh"
SESSIONS = "/api/v1/users/me/sessions"


class Account:
    """Somebody who has registered, and their logins."""

    def __init__(self, house: House) -> None:
        self.user = new_user()
        self.http = house.anonymous
        self.id = str(self.http.post("/api/v1/auth/register", json=self.user).json()["id"])

    def log_in(self, agent: str = "tests") -> dict[str, str]:
        """Return a new session's pair of tokens."""
        credentials = {"email": self.user["email"], "password": self.user["password"]}
        answer = self.http.post("/api/v1/auth/login", json=credentials, headers={"User-Agent": agent})
        assert answer.status_code == 200, answer.text
        pair: dict[str, str] = answer.json()
        return pair

    def refresh(self, pair: dict[str, str]) -> httpx.Response:
        """Ask for the next pair."""
        return self.http.post(REFRESH, json={"refresh_token": pair["refresh_token"]})

    def send(self, method: str, path: str, pair: dict[str, str]) -> httpx.Response:
        """Send a request of this session."""
        return self.http.request(method, path, headers={"Authorization": f"Bearer {pair['access_token']}"})

    def is_in(self, pair: dict[str, str]) -> bool:
        """Tell whether the session is good."""
        return self.send("GET", "/api/v1/users/me", pair).status_code == 200


@pytest.fixture
def account(house: House) -> Account:
    """Somebody new."""
    return Account(house)


def test_a_login_with_a_form_is_a_login(account: Account, house: House) -> None:
    form = {"grant_type": "password", "username": account.user["email"].upper(), "password": account.user["password"]}
    pair = house.anonymous.post("/api/v1/auth/token", data=form)
    assert pair.status_code == 200
    assert account.is_in(pair.json())
    assert (pair.json()["token_type"], pair.json()["refresh_expires_in"]) == ("bearer", 30 * 24 * 3600)
    wrong = house.anonymous.post("/api/v1/auth/token", data=form | {"password": "wrong horse battery"})
    assert slug(wrong) == (401, "invalid-credentials")


@pytest.mark.parametrize(
    "change", [{"grant_type": "refresh"}, {"username": "nobody"}, {"x": "y"}, {"scope": "s" * 201}]
)
def test_a_form_with_something_else_is_refused(house: House, change: dict[str, str]) -> None:
    form = {"grant_type": "password", "username": "a@example.com", "password": "correct horse battery"}
    assert slug(house.anonymous.post("/api/v1/auth/token", data=form | change)) == (422, "validation-failed")


def test_each_refresh_replaces_the_token(account: Account, house: House) -> None:
    first = account.log_in()
    second = account.refresh(first).json()
    third = account.refresh(second)
    assert third.status_code == 200
    assert account.is_in(third.json())
    assert len({pair["refresh_token"] for pair in (first, second, third.json())}) == 3
    assert not rows(house, "SELECT 1 FROM refresh_token WHERE token_hash = ?", first["refresh_token"])


def test_a_token_used_twice_ends_its_session_and_no_other(account: Account, house: House) -> None:
    stolen, elsewhere = account.log_in(), account.log_in()
    newer = account.refresh(stolen).json()
    assert slug(account.refresh(stolen)) == (401, "invalid-refresh-token")
    assert slug(account.refresh(newer)) == (401, "invalid-refresh-token")
    assert not account.is_in(newer)
    assert account.is_in(elsewhere)
    assert rows(house, "SELECT 1 FROM audit_entry WHERE subject_id = ? AND action = 'session.token_reused'", account.id)


def test_of_simultaneous_refreshes_exactly_one_wins(account: Account) -> None:
    pair = account.log_in()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: account.refresh(pair), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert not account.is_in(pair)


def test_an_expired_session_is_over(account: Account, house: House) -> None:
    pair = account.log_in()
    assert rows(
        house,
        "UPDATE login_session SET expires_at = '2020-01-01 00:00:00.000000' WHERE account_id = ? RETURNING 1",
        account.id,
    )
    assert slug(account.refresh(pair)) == (401, "invalid-refresh-token")
    assert not account.is_in(pair)


@pytest.mark.parametrize("token", ["x", "A" * 43])
def test_an_unknown_refresh_token(house: House, token: str) -> None:
    assert slug(house.anonymous.post(REFRESH, json={"refresh_token": token})) == (401, "invalid-refresh-token")


def test_logging_out_voids_both_tokens_of_this_session(account: Account) -> None:
    here, there = account.log_in(), account.log_in()
    assert account.send("POST", "/api/v1/auth/logout", here).status_code == 204
    assert not account.is_in(here)
    assert account.refresh(here).status_code == 401
    assert account.is_in(there)


def test_logging_out_everywhere(account: Account) -> None:
    pairs = [account.log_in(), account.log_in()]
    assert account.send("POST", "/api/v1/auth/logout-everywhere", pairs[0]).status_code == 204
    assert not any(account.is_in(pair) or account.refresh(pair).status_code != 401 for pair in pairs)


def test_own_sessions_are_listed_and_can_be_ended(account: Account, house: House) -> None:
    there, here = account.log_in("telephone"), account.log_in("x" * 500)
    listed = account.send("GET", SESSIONS, here).json()["items"]
    assert [(each["user_agent"], each["current"]) for each in listed] == [("x" * 200, True), ("telephone", False)]
    assert listed[0]["address"] == "127.0.0.1"
    first = account.send("GET", f"{SESSIONS}?limit=1", here).json()
    rest = account.send("GET", f"{SESSIONS}?limit=1&cursor={first['next_cursor']}", here).json()
    assert [*first["items"], *rest["items"]] == listed
    stranger = house.person()
    assert stranger.http.delete(f"{SESSIONS}/{listed[1]['id']}").status_code == 404
    assert account.send("DELETE", f"{SESSIONS}/{listed[1]['id']}", here).status_code == 204
    assert not account.is_in(there)
    assert account.send("DELETE", f"{SESSIONS}/{listed[1]['id']}", here).status_code == 404
    assert [each["id"] for each in account.send("GET", SESSIONS, here).json()["items"]] == [listed[0]["id"]]


def test_logins_are_in_the_audit_log(account: Account, house: House) -> None:
    log_in(house.anonymous, account.user | {"password": "wrong horse battery"})
    account.log_in()
    query = "SELECT action, address FROM audit_entry WHERE subject_id = ? ORDER BY id"
    assert rows(house, query, account.id) == [("login.failed", "127.0.0.1"), ("login.succeeded", "127.0.0.1")]


def test_a_weak_hash_is_replaced_at_the_next_login(account: Account, house: House) -> None:
    weak = PasswordHasher(memory_cost=64, time_cost=1, parallelism=1).hash(account.user["password"])
    rows(house, "UPDATE user_account SET password_hash = ? WHERE id = ?", weak, account.id)
    account.log_in()
    ((stored,),) = rows(house, "SELECT password_hash FROM user_account WHERE id = ?", account.id)
    assert str(stored).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    account.log_in()
