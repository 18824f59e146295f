"""Password resets, and changes of passwords and addresses."""

import pytest

from tests.app.accounts.conftest import code, rows, templates
from tests.app.accounts.test_registration import (
    ACCENTED_PASSWORD,
    REGISTER,
    VERIFY,
    in_other_unicode_form,
    log_in,
    slug,
)
from tests.app.conftest import RunningApi, new_user

FORGOT, RESET = "/api/v1/auth/password/forgot", "/api/v1/auth/password/reset"
ME = "/api/v1/users/me"
NEW = "staple battery horse"


def verified_user(api: RunningApi) -> tuple[dict[str, str], dict[str, str]]:
    """A user with a verified address, and the headers of a session."""
    user = new_user()
    api.anonymous.post(REGISTER, json=user)
    api.anonymous.post(VERIFY, json={"token": code(api, user["email"], "verify_email")})
    return user, session(api, user)


def session(api: RunningApi, user: dict[str, str]) -> dict[str, str]:
    """The headers of a new session."""
    return {"Authorization": f"Bearer {log_in(api.anonymous, user).json()['access_token']}"}


def test_password_reset_works_once_and_ends_all_sessions(verifying_api: RunningApi) -> None:
    http = verifying_api.anonymous
    user, headers = verified_user(verifying_api)
    assert http.post(FORGOT, json={"email": user["email"]}).status_code == 202
    body = {"token": code(verifying_api, user["email"], "reset_password"), "new_password": NEW}
    assert http.post(RESET, json=body).status_code == 204
    assert http.get(ME, headers=headers).status_code == 401
    assert log_in(http, user).status_code == 401
    assert log_in(http, user | {"password": NEW}).status_code == 200
    assert slug(http.post(RESET, json=body)) == (404, "invalid-code")
    assert templates(verifying_api, user["email"])[-1] == "password_changed"


def test_password_reset_normalises_the_password(verifying_api: RunningApi) -> None:
    user, _ = verified_user(verifying_api)
    verifying_api.anonymous.post(FORGOT, json={"email": user["email"]})
    body = {
        "token": code(verifying_api, user["email"], "reset_password"),
        "new_password": in_other_unicode_form(ACCENTED_PASSWORD),
    }
    assert verifying_api.anonymous.post(RESET, json=body).status_code == 204
    assert log_in(verifying_api.anonymous, user | {"password": ACCENTED_PASSWORD}).status_code == 200


def test_reset_code_expires(verifying_api: RunningApi) -> None:
    user, _ = verified_user(verifying_api)
    verifying_api.anonymous.post(FORGOT, json={"email": user["email"]})
    sent = code(verifying_api, user["email"], "reset_password")
    changed = "UPDATE one_time_token SET expires_at = '2020-01-01 00:00:00.000000' WHERE email = ? RETURNING 1"
    assert rows(verifying_api, changed, user["email"])
    answer = verifying_api.anonymous.post(RESET, json={"token": sent, "new_password": NEW})
    assert slug(answer) == (404, "invalid-code")
    assert log_in(verifying_api.anonymous, user).status_code == 200


@pytest.mark.parametrize("path", [FORGOT, "/api/v1/auth/email/resend"])
def test_mail_requests_fail_without_smtp(api: RunningApi, path: str) -> None:
    assert slug(api.anonymous.post(path, json={"email": "a@example.com"})) == (503, "mail-off")


def test_password_change_ends_the_other_sessions(verifying_api: RunningApi) -> None:
    http = verifying_api.anonymous
    user, here = verified_user(verifying_api)
    there = session(verifying_api, user)
    wrong = {"current_password": "wrong horse battery", "new_password": NEW}
    assert slug(http.post(f"{ME}/password", json=wrong, headers=here)) == (403, "wrong-password")
    body = {"current_password": user["password"], "new_password": NEW}
    assert http.post(f"{ME}/password", json=body, headers=here).status_code == 204
    assert [http.get(ME, headers=each).status_code for each in (here, there)] == [200, 401]
    assert templates(verifying_api, user["email"])[-1] == "password_changed"


def test_new_address_takes_effect_after_verification(verifying_api: RunningApi) -> None:
    http, new = verifying_api.anonymous, new_user()["email"]
    user, headers = verified_user(verifying_api)
    body = {"current_password": user["password"], "new_email": new}
    assert http.post(f"{ME}/email", json=body, headers=headers).status_code == 202
    assert http.get(ME, headers=headers).json()["email"] == user["email"]
    assert http.post(VERIFY, json={"token": code(verifying_api, new, "change_email")}).status_code == 204
    assert http.get(ME, headers=headers).json()["email"] == new
    assert templates(verifying_api, user["email"])[-1] == "email_changed"


def test_change_to_a_taken_address_notifies_its_owner(verifying_api: RunningApi) -> None:
    (user, headers), (owner, _) = verified_user(verifying_api), verified_user(verifying_api)
    body = {"current_password": user["password"], "new_email": owner["email"]}
    assert verifying_api.anonymous.post(f"{ME}/email", json=body, headers=headers).status_code == 202
    assert templates(verifying_api, owner["email"]) == ["verify_email", "email_taken"]


def test_address_changes_at_once_without_smtp(api: RunningApi) -> None:
    person, other, new = api.person(), api.person(), new_user()["email"]
    body = {"current_password": person.password, "new_email": new}
    assert person.http.post(f"{ME}/email", json=body).json()["email"] == new
    taken = person.http.post(f"{ME}/email", json=body | {"new_email": other.email})
    assert slug(taken) == (409, "email-taken")
