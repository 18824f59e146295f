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
from tests.app.conftest import House, new_user

FORGOT, RESET = "/api/v1/auth/password/forgot", "/api/v1/auth/password/reset"
ME = "/api/v1/users/me"
NEW = "staple battery horse"


def verified_user(house: House) -> tuple[dict[str, str], dict[str, str]]:
    """A user with a verified address, and the headers of a session."""
    user = new_user()
    house.anonymous.post(REGISTER, json=user)
    house.anonymous.post(VERIFY, json={"token": code(house, user["email"], "verify_email")})
    return user, session(house, user)


def session(house: House, user: dict[str, str]) -> dict[str, str]:
    """The headers of a new session."""
    return {"Authorization": f"Bearer {log_in(house.anonymous, user).json()['access_token']}"}


def test_password_reset_works_once_and_ends_all_sessions(post_house: House) -> None:
    http = post_house.anonymous
    user, headers = verified_user(post_house)
    assert http.post(FORGOT, json={"email": user["email"]}).status_code == 202
    body = {"token": code(post_house, user["email"], "reset_password"), "new_password": NEW}
    assert http.post(RESET, json=body).status_code == 204
    assert http.get(ME, headers=headers).status_code == 401
    assert log_in(http, user).status_code == 401
    assert log_in(http, user | {"password": NEW}).status_code == 200
    assert slug(http.post(RESET, json=body)) == (404, "invalid-code")
    assert templates(post_house, user["email"])[-1] == "password_changed"


def test_password_reset_normalises_the_password(post_house: House) -> None:
    user, _ = verified_user(post_house)
    post_house.anonymous.post(FORGOT, json={"email": user["email"]})
    body = {
        "token": code(post_house, user["email"], "reset_password"),
        "new_password": in_other_unicode_form(ACCENTED_PASSWORD),
    }
    assert post_house.anonymous.post(RESET, json=body).status_code == 204
    assert log_in(post_house.anonymous, user | {"password": ACCENTED_PASSWORD}).status_code == 200


def test_reset_code_expires(post_house: House) -> None:
    user, _ = verified_user(post_house)
    post_house.anonymous.post(FORGOT, json={"email": user["email"]})
    sent = code(post_house, user["email"], "reset_password")
    changed = "UPDATE one_time_token SET expires_at = '2020-01-01 00:00:00.000000' WHERE email = ? RETURNING 1"
    assert rows(post_house, changed, user["email"])
    answer = post_house.anonymous.post(RESET, json={"token": sent, "new_password": NEW})
    assert slug(answer) == (404, "invalid-code")
    assert log_in(post_house.anonymous, user).status_code == 200


@pytest.mark.parametrize("path", [FORGOT, "/api/v1/auth/email/resend"])
def test_mail_requests_fail_without_smtp(house: House, path: str) -> None:
    assert slug(house.anonymous.post(path, json={"email": "a@example.com"})) == (503, "mail-off")


def test_password_change_ends_the_other_sessions(post_house: House) -> None:
    http = post_house.anonymous
    user, here = verified_user(post_house)
    there = session(post_house, user)
    wrong = {"current_password": "wrong horse battery", "new_password": NEW}
    assert slug(http.post(f"{ME}/password", json=wrong, headers=here)) == (403, "wrong-password")
    body = {"current_password": user["password"], "new_password": NEW}
    assert http.post(f"{ME}/password", json=body, headers=here).status_code == 204
    assert [http.get(ME, headers=each).status_code for each in (here, there)] == [200, 401]
    assert templates(post_house, user["email"])[-1] == "password_changed"


def test_new_address_takes_effect_after_verification(post_house: House) -> None:
    http, new = post_house.anonymous, new_user()["email"]
    user, headers = verified_user(post_house)
    body = {"current_password": user["password"], "new_email": new}
    assert http.post(f"{ME}/email", json=body, headers=headers).status_code == 202
    assert http.get(ME, headers=headers).json()["email"] == user["email"]
    assert http.post(VERIFY, json={"token": code(post_house, new, "change_email")}).status_code == 204
    assert http.get(ME, headers=headers).json()["email"] == new
    assert templates(post_house, user["email"])[-1] == "email_changed"


def test_change_to_a_taken_address_notifies_its_owner(post_house: House) -> None:
    (user, headers), (owner, _) = verified_user(post_house), verified_user(post_house)
    body = {"current_password": user["password"], "new_email": owner["email"]}
    assert post_house.anonymous.post(f"{ME}/email", json=body, headers=headers).status_code == 202
    assert templates(post_house, owner["email"]) == ["verify_email", "email_taken"]


def test_address_changes_at_once_without_smtp(house: House) -> None:
    person, other, new = house.person(), house.person(), new_user()["email"]
    body = {"current_password": person.password, "new_email": new}
    assert person.http.post(f"{ME}/email", json=body).json()["email"] == new
    taken = person.http.post(f"{ME}/email", json=body | {"new_email": other.email})
    assert slug(taken) == (409, "email-taken")
