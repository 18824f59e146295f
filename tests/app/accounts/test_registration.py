"""Registration, verification of addresses, and normalisation of passwords and addresses."""

import secrets
import unicodedata

import httpx
import pytest

from app.kit.hashing import CONTEXT
from tests.app.accounts.conftest import code, rows, templates
from tests.app.conftest import CANARY_TOKEN, RunningApi, new_user

REGISTER = "/api/v1/auth/register"
VERIFY = "/api/v1/auth/email/verify"


def slug(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def log_in(http: httpx.Client, user: dict[str, str]) -> httpx.Response:
    return http.post("/api/v1/auth/login", json={"email": user["email"], "password": user["password"]})


def test_registration_returns_the_new_user(api: RunningApi) -> None:
    answer = api.anonymous.post(REGISTER, json=new_user() | {"language": "ru", "phone": "+4915112345678"})
    assert answer.status_code == 201
    user = answer.json()
    assert answer.headers["Location"] == f"/api/v1/users/{user['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert (user["language"], user["phone"], user["role"]) == ("ru", "+4915112345678", "client")
    assert (user["is_active"], user["email_verified"]) == (True, False)


@pytest.mark.parametrize(
    "change",
    [{"role": "admin"}, {"language": "de"}, {"full_name": "A\x00B"}, {"full_name": " "}, {"phone": "+0123456"}],
)
def test_registration_refuses_invalid_and_unknown_fields(api: RunningApi, change: dict[str, str]) -> None:
    assert slug(api.anonymous.post(REGISTER, json=new_user() | change)) == (422, "validation-failed")


def test_repeated_request_registers_once(api: RunningApi) -> None:
    user, headers = new_user(), {"Idempotency-Key": secrets.token_hex(8)}
    first = api.anonymous.post(REGISTER, json=user, headers=headers)
    second = api.anonymous.post(REGISTER, json=user, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert slug(api.anonymous.post(REGISTER, json=user)) == (409, "email-taken")
    other = api.anonymous.post(REGISTER, json=new_user(), headers=headers)
    assert slug(other) == (422, "idempotency-key-reused")


def test_stored_idempotent_answer_has_no_personal_data(api: RunningApi) -> None:
    user, key = new_user(), secrets.token_hex(8)
    api.anonymous.post(REGISTER, json=user, headers={"Idempotency-Key": key})
    ((answer,),) = rows(api, "SELECT answer FROM idempotency_record WHERE key = ?", key)
    assert user["email"] not in str(answer)


def test_registration_does_not_reveal_known_addresses(verifying_api: RunningApi) -> None:
    user = new_user()
    first = verifying_api.anonymous.post(REGISTER, json=user)
    again = verifying_api.anonymous.post(REGISTER, json=user | {"password": "another horse battery"})
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json() == {"status": "verification_sent"}
    assert first.headers.keys() == again.headers.keys()
    assert templates(verifying_api, user["email"]) == ["verify_email", "email_taken"]


def test_login_requires_a_verified_address(verifying_api: RunningApi) -> None:
    user, http = new_user(), verifying_api.anonymous
    http.post(REGISTER, json=user)
    assert slug(log_in(http, user | {"password": "wrong horse battery"})) == (401, "invalid-credentials")
    assert slug(log_in(http, user)) == (403, "email-not-verified")
    sent = code(verifying_api, user["email"], "verify_email")
    assert http.post(VERIFY, json={"token": sent}).status_code == 204
    assert slug(http.post(VERIFY, json={"token": sent})) == (404, "invalid-code")
    token = log_in(http, user).json()["access_token"]
    me = http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["email_verified"] is True


def test_codes_are_stored_as_hashes_and_expire(verifying_api: RunningApi) -> None:
    user = new_user()
    verifying_api.anonymous.post(REGISTER, json=user)
    sent = code(verifying_api, user["email"], "verify_email")
    assert not rows(verifying_api, "SELECT 1 FROM one_time_token WHERE token_hash = ?", sent)
    changed = "UPDATE one_time_token SET expires_at = '2020-01-01 00:00:00.000000' WHERE email = ? RETURNING 1"
    assert rows(verifying_api, changed, user["email"])
    assert slug(verifying_api.anonymous.post(VERIFY, json={"token": sent})) == (404, "invalid-code")


def test_resend_sends_a_code_only_to_unverified_accounts(verifying_api: RunningApi) -> None:
    user, http = new_user(), verifying_api.anonymous
    http.post(REGISTER, json=user)
    first = code(verifying_api, user["email"], "verify_email")
    nobody = new_user()["email"]
    answers = [http.post("/api/v1/auth/email/resend", json={"email": email}) for email in (user["email"], nobody)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"status": "message_sent"})] * 2
    second = code(verifying_api, user["email"], "verify_email")
    assert second != first
    assert http.post(VERIFY, json={"token": second}).status_code == 204
    assert http.post("/api/v1/auth/email/resend", json={"email": user["email"]}).status_code == 202
    assert templates(verifying_api, user["email"]) == ["verify_email"] * 2
    assert templates(verifying_api, nobody) == []


def test_mails_per_recipient_are_limited(verifying_api: RunningApi) -> None:
    for email in (new_user()["email"], new_user()["email"]):
        answers = [verifying_api.anonymous.post(REGISTER, json=new_user() | {"email": email}) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [202] * 5 + [429]
        assert len(templates(verifying_api, email)) == 5


ACCENTED_PASSWORD = "crème brûlée à gogo"


def in_other_unicode_form(text: str) -> str:
    """The same text in another Unicode form, as some keyboards send it."""
    return unicodedata.normalize("NFD", text).replace(" ", "\N{NO-BREAK SPACE}")


def test_passwords_are_normalised(api: RunningApi) -> None:
    user, http, me = new_user() | {"password": ACCENTED_PASSWORD}, api.anonymous, "/api/v1/users/me"
    other = in_other_unicode_form(ACCENTED_PASSWORD)
    assert other != ACCENTED_PASSWORD
    assert http.post(REGISTER, json=user).status_code == 201
    form = {"username": user["email"], "password": other}
    assert http.post("/api/v1/auth/token", data=form).status_code == 200
    token = log_in(http, user | {"password": other}).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    new = "île flottante"
    for path, body in (
        ("email", {"new_email": new_user()["email"]}),
        ("password", {"new_password": in_other_unicode_form(new)}),
    ):
        answer = http.post(f"{me}/{path}", json=body | {"current_password": other}, headers=headers)
        assert answer.is_success, answer.text
    erasure = {"current_password": new}
    assert http.post(f"{me}/erase", json=erasure, headers=headers).status_code == 204


def test_login_rehashes_a_password_stored_without_normalisation(api: RunningApi) -> None:
    user, http = new_user(), api.anonymous
    account = http.post(REGISTER, json=user).json()["id"]
    raw = in_other_unicode_form(ACCENTED_PASSWORD)
    rows(api, "UPDATE user_account SET password_hash = ? WHERE id = ?", CONTEXT.hash(raw), account)
    assert log_in(http, user | {"password": ACCENTED_PASSWORD}).status_code == 401
    assert log_in(http, user | {"password": raw}).status_code == 200
    assert log_in(http, user | {"password": ACCENTED_PASSWORD}).status_code == 200


def test_password_length_is_checked_after_normalisation(api: RunningApi) -> None:
    note = "\N{MUSICAL SYMBOL EIGHTH NOTE}"  # three characters in NFC
    for password, status in ((in_other_unicode_form("é" * 4), 422), (note * 43, 422), (note * 42, 201)):
        answer = api.anonymous.post(REGISTER, json=new_user() | {"password": password})
        assert answer.status_code == status
    # Longer than a new password can be, but older releases allowed this length.
    assert slug(log_in(api.anonymous, new_user() | {"password": note * 128})) == (401, "invalid-credentials")


def test_email_addresses_are_normalised(api: RunningApi) -> None:
    user = new_user()
    user["email"] = f"Zoë-{user['email']}"
    other = unicodedata.normalize("NFD", user["email"])
    assert other != user["email"]
    assert api.anonymous.post(REGISTER, json=user).status_code == 201
    assert log_in(api.anonymous, user | {"email": other}).status_code == 200
    assert slug(api.anonymous.post(REGISTER, json=user | {"email": other})) == (409, "email-taken")


def test_canary_rolls_back_a_registration(verifying_api: RunningApi) -> None:
    headers = {"Authorization": f"Bearer {CANARY_TOKEN}"}
    assert verifying_api.anonymous.post("/internal/canary", headers=headers).json()["status"] == "ok"
    assert not rows(verifying_api, "SELECT 1 FROM user_account WHERE email LIKE '%canary.example'")
    assert not rows(verifying_api, "SELECT 1 FROM outbox_message WHERE recipient LIKE '%canary.example'")
