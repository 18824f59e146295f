"""Login sessions, rotation of refresh tokens, and logout."""

import concurrent.futures
import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from argon2 import PasswordHasher

from app.accounts.codes import digest
from tests.app.accounts.conftest import rows
from tests.app.accounts.test_registration import log_in, slug
from tests.app.company import stored
from tests.app.conftest import Redis, RunningApi, api_server, environment_of, new_user

REFRESH = "/api/v1/auth/refresh"
SESSIONS = "/api/v1/users/me/sessions"


class Account:
    """A registered user, and requests of their sessions."""

    def __init__(self, api: RunningApi) -> None:
        self.user = new_user()
        self.http = api.anonymous
        self.id = str(self.http.post("/api/v1/auth/register", json=self.user).json()["id"])

    def log_in(self, agent: str = "tests") -> dict[str, str]:
        """Start a session, and return its pair of tokens."""
        credentials = {"email": self.user["email"], "password": self.user["password"]}
        answer = self.http.post("/api/v1/auth/login", json=credentials, headers={"User-Agent": agent})
        assert answer.status_code == 200, answer.text
        pair: dict[str, str] = answer.json()
        return pair

    def refresh(self, pair: dict[str, str]) -> httpx.Response:
        """Request the next pair of tokens."""
        return self.http.post(REFRESH, json={"refresh_token": pair["refresh_token"]})

    def send(self, method: str, path: str, pair: dict[str, str]) -> httpx.Response:
        """Send a request with this access token."""
        return self.http.request(method, path, headers={"Authorization": f"Bearer {pair['access_token']}"})

    def is_active(self, pair: dict[str, str]) -> bool:
        """Return whether the session is active."""
        return self.send("GET", "/api/v1/users/me", pair).status_code == 200


@pytest.fixture
def account(api: RunningApi) -> Account:
    """A new account."""
    return Account(api)


def test_form_login_starts_a_session(account: Account, api: RunningApi) -> None:
    form = {"grant_type": "password", "username": account.user["email"].upper(), "password": account.user["password"]}
    pair = api.anonymous.post("/api/v1/auth/token", data=form)
    assert pair.status_code == 200
    assert account.is_active(pair.json())
    assert (pair.json()["token_type"], pair.json()["refresh_expires_in"]) == ("bearer", 30 * 24 * 3600)
    wrong = api.anonymous.post("/api/v1/auth/token", data=form | {"password": "wrong horse battery"})
    assert slug(wrong) == (401, "invalid-credentials")


@pytest.mark.parametrize(
    "change", [{"grant_type": "refresh"}, {"username": "nobody"}, {"x": "y"}, {"scope": "s" * 201}]
)
def test_form_login_refuses_invalid_and_unknown_fields(api: RunningApi, change: dict[str, str]) -> None:
    form = {"grant_type": "password", "username": "a@example.com", "password": "correct horse battery"}
    assert slug(api.anonymous.post("/api/v1/auth/token", data=form | change)) == (422, "validation-failed")


def test_refresh_replaces_the_token(account: Account, api: RunningApi) -> None:
    first = account.log_in()
    second = account.refresh(first).json()
    third = account.refresh(second)
    assert third.status_code == 200
    assert account.is_active(third.json())
    assert len({pair["refresh_token"] for pair in (first, second, third.json())}) == 3
    assert not rows(api, "SELECT 1 FROM refresh_token WHERE token_hash = ?", first["refresh_token"])


def age(api: RunningApi, pair: dict[str, str], seconds: int) -> None:
    """Set the first use of the pair's refresh token to this many seconds ago."""
    change = "UPDATE refresh_token SET used_at = ? WHERE token_hash = ? AND used_at IS NOT NULL RETURNING 1"
    used_at = stored(datetime.now(UTC) - timedelta(seconds=seconds))
    assert rows(api, change, used_at, digest(pair["refresh_token"]))


def tokens(answer: httpx.Response) -> tuple[str, str]:
    """The pair of tokens of a successful refresh."""
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.json()["refresh_token"]


def test_late_reuse_of_a_refresh_token_ends_only_its_session(account: Account, api: RunningApi) -> None:
    stolen, elsewhere = account.log_in(), account.log_in()
    newer = account.refresh(stolen).json()
    age(api, stolen, 31)
    assert slug(account.refresh(stolen)) == (401, "invalid-refresh-token")
    assert slug(account.refresh(newer)) == (401, "invalid-refresh-token")
    assert not account.is_active(newer)
    assert account.is_active(elsewhere)
    assert rows(api, "SELECT 1 FROM audit_entry WHERE subject_id = ? AND action = 'session.token_reused'", account.id)


def test_reuse_of_an_older_refresh_token_ends_its_session(account: Account, api: RunningApi) -> None:
    stolen = account.log_in()
    second = account.refresh(stolen).json()
    age(api, stolen, 24 * 3600)
    third = account.refresh(second).json()
    assert slug(account.refresh(stolen)) == (401, "invalid-refresh-token")
    assert slug(account.refresh(third)) == (401, "invalid-refresh-token")
    assert not account.is_active(third)
    query = "SELECT count(*) FROM audit_entry WHERE subject_id = ? AND action = 'session.token_reused'"
    assert rows(api, query, account.id) == [(1,)]


def test_simultaneous_refreshes_return_the_same_pair(account: Account) -> None:
    pair = account.log_in()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: account.refresh(pair), range(8)))
    assert len({tokens(answer) for answer in answers}) == 1
    assert account.is_active(answers[0].json())
    assert account.is_active(account.refresh(answers[7].json()).json())


def test_repeated_refresh_returns_the_same_pair_for_30_seconds(account: Account, api: RunningApi) -> None:
    pair = account.log_in()
    first = account.refresh(pair)
    assert tokens(account.refresh(pair)) == tokens(first)
    age(api, pair, 25)
    later = account.refresh(pair)
    assert later.json()["refresh_token"] == first.json()["refresh_token"]
    assert later.json()["expires_in"] in {875, 874}
    claims = jwt.decode(later.json()["access_token"], options={"verify_signature": False})
    assert claims["exp"] - time.time() == pytest.approx(875, abs=2)
    age(api, pair, 31)
    assert slug(account.refresh(pair)) == (401, "invalid-refresh-token")
    assert not account.is_active(first.json())


def test_repeated_refresh_returns_the_same_pair_after_the_next_refresh(account: Account) -> None:
    pair = account.log_in()
    second = account.refresh(pair)
    third = account.refresh(second.json())
    assert tokens(account.refresh(pair)) == tokens(second)
    assert tokens(account.refresh(second.json())) == tokens(third)
    assert account.is_active(account.refresh(third.json()).json())


def test_ended_session_cannot_be_refreshed(account: Account) -> None:
    pair = account.log_in()
    newer = account.refresh(pair).json()
    assert account.send("POST", "/api/v1/auth/logout", newer).status_code == 204
    assert slug(account.refresh(pair)) == (401, "invalid-refresh-token")
    assert slug(account.refresh(newer)) == (401, "invalid-refresh-token")


def test_password_change_keeps_only_its_own_session_refreshable(account: Account) -> None:
    here, there = account.log_in(), account.log_in()
    newer = account.refresh(here)
    account.refresh(there)
    change = {"current_password": account.user["password"], "new_password": "staple battery horse"}
    headers = {"Authorization": f"Bearer {newer.json()['access_token']}"}
    assert account.http.post("/api/v1/users/me/password", json=change, headers=headers).status_code == 204
    assert tokens(account.refresh(here)) == tokens(newer)
    assert slug(account.refresh(there)) == (401, "invalid-refresh-token")


def test_tokens_are_not_stored(account: Account, api: RunningApi) -> None:
    pair = account.log_in()
    newer = account.refresh(pair).json()
    stored_tokens = rows(api, "SELECT * FROM refresh_token r JOIN login_session s ON s.id = r.session_id")
    assert not any(
        secret in str(stored_tokens) for secret in (*pair.values(), *newer.values()) if len(str(secret)) > 40
    )


def test_refresh_token_with_an_underived_successor_cannot_be_repeated(account: Account, api: RunningApi) -> None:
    pair = account.log_in()
    newer = account.refresh(pair).json()
    change = "UPDATE refresh_token SET token_hash = ? WHERE token_hash = ? RETURNING 1"
    assert rows(api, change, "of a successor that was not derived", digest(newer["refresh_token"]))
    assert slug(account.refresh(pair)) == (401, "invalid-refresh-token")
    assert not account.is_active(newer)


def test_two_replicas_return_the_same_pair(tmp_path: Path, redis: Redis, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    settings = environment_of(tmp_path, redis)
    with api_server(tmp_path, settings) as one, api_server(tmp_path, settings) as two, ExitStack() as clients:
        account = Account(RunningApi(one, clients))
        others = [RunningApi(each, clients).anonymous for each in (one, two)]
        for _ in range(5):
            pair = account.log_in()
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                body = {"refresh_token": pair["refresh_token"]}
                answers = list(pool.map(lambda http, body=body: http.post(REFRESH, json=body), others * 4))
            assert len({tokens(answer) for answer in answers}) == 1
            assert all(
                http.get(
                    "/api/v1/users/me", headers={"Authorization": f"Bearer {answers[0].json()['access_token']}"}
                ).is_success
                for http in others
            )


def test_expired_session_is_refused(account: Account, api: RunningApi) -> None:
    pair = account.log_in()
    assert rows(
        api,
        "UPDATE login_session SET expires_at = '2020-01-01 00:00:00.000000' WHERE account_id = ? RETURNING 1",
        account.id,
    )
    assert slug(account.refresh(pair)) == (401, "invalid-refresh-token")
    assert not account.is_active(pair)


@pytest.mark.parametrize("token", ["x", "A" * 43])
def test_unknown_refresh_token_is_refused(api: RunningApi, token: str) -> None:
    assert slug(api.anonymous.post(REFRESH, json={"refresh_token": token})) == (401, "invalid-refresh-token")


def test_logout_invalidates_both_tokens_of_its_session(account: Account) -> None:
    here, there = account.log_in(), account.log_in()
    assert account.send("POST", "/api/v1/auth/logout", here).status_code == 204
    assert not account.is_active(here)
    assert account.refresh(here).status_code == 401
    assert account.is_active(there)


def test_logout_everywhere_ends_all_sessions(account: Account) -> None:
    pairs = [account.log_in(), account.log_in()]
    assert account.send("POST", "/api/v1/auth/logout-everywhere", pairs[0]).status_code == 204
    assert not any(account.is_active(pair) or account.refresh(pair).status_code != 401 for pair in pairs)


def test_sessions_can_be_listed_and_ended(account: Account, api: RunningApi) -> None:
    there, here = account.log_in("telephone"), account.log_in("x" * 500)
    listed = account.send("GET", SESSIONS, here).json()["items"]
    assert [(each["user_agent"], each["current"]) for each in listed] == [("x" * 200, True), ("telephone", False)]
    assert listed[0]["address"] == "127.0.0.1"
    first = account.send("GET", f"{SESSIONS}?limit=1", here).json()
    rest = account.send("GET", f"{SESSIONS}?limit=1&cursor={first['next_cursor']}", here).json()
    assert [*first["items"], *rest["items"]] == listed
    stranger = api.person()
    assert stranger.http.delete(f"{SESSIONS}/{listed[1]['id']}").status_code == 404
    assert account.send("DELETE", f"{SESSIONS}/{listed[1]['id']}", here).status_code == 204
    assert not account.is_active(there)
    assert account.send("DELETE", f"{SESSIONS}/{listed[1]['id']}", here).status_code == 404
    assert [each["id"] for each in account.send("GET", SESSIONS, here).json()["items"]] == [listed[0]["id"]]


def test_logins_are_recorded_in_the_audit_log(account: Account, api: RunningApi) -> None:
    log_in(api.anonymous, account.user | {"password": "wrong horse battery"})
    account.log_in()
    query = "SELECT action, address FROM audit_entry WHERE subject_id = ? ORDER BY id"
    assert rows(api, query, account.id) == [("login.failed", "127.0.0.1"), ("login.succeeded", "127.0.0.1")]


def test_login_replaces_a_weak_hash(account: Account, api: RunningApi) -> None:
    weak = PasswordHasher(memory_cost=64, time_cost=1, parallelism=1).hash(account.user["password"])
    rows(api, "UPDATE user_account SET password_hash = ? WHERE id = ?", weak, account.id)
    account.log_in()
    ((stored,),) = rows(api, "SELECT password_hash FROM user_account WHERE id = ?", account.id)
    assert str(stored).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    account.log_in()
