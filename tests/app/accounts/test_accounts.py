"""Profiles, account administration and erasure."""

import secrets
import unicodedata

from tests.app.accounts.conftest import rows
from tests.app.accounts.test_registration import REGISTER, log_in, slug
from tests.app.company import at as moment
from tests.app.company import book, day_ahead, execute, make_cleaner, make_service, order
from tests.app.conftest import RunningApi
from tests.app.operations import World

ME, USERS = "/api/v1/users/me", "/api/v1/users"
ANY = {"If-Match": "*"}


def test_profile_change_requires_the_current_version(api: RunningApi) -> None:
    person, manager, name = api.person(), api.person("manager"), f"Zoe{secrets.token_hex(6)}"
    assert slug(person.http.patch(ME, json={"full_name": name})) == (428, "precondition-required")
    tag = {"If-Match": person.http.get(ME).headers["ETag"]}
    changed = person.http.patch(ME, json={"full_name": name, "phone": None}, headers=tag)
    assert (changed.status_code, changed.json()["full_name"], changed.json()["phone"]) == (200, name, None)
    assert slug(person.http.patch(ME, json={"full_name": "B"}, headers=tag)) == (412, "precondition-failed")
    assert person.http.patch(ME, json={"full_name": None}, headers=ANY).status_code == 422
    found = manager.http.get(USERS, params={"q": name[:9].upper()}).json()["items"]
    assert [each["id"] for each in found] == [person.id]
    assert manager.http.get(USERS, params={"q": name, "role": "cleaner"}).json()["items"] == []
    assert manager.http.get(USERS, params={"q": name, "is_active": "false"}).json()["items"] == []


def test_search_ignores_unicode_form_and_case(api: RunningApi) -> None:
    manager, name = api.person("manager"), f"Zoë{secrets.token_hex(6)}"
    decomposed = unicodedata.normalize("NFD", name)
    people = [api.person(), api.person()]
    for person, typed in zip(people, (name, decomposed), strict=True):
        assert person.http.patch(ME, json={"full_name": f"{typed} Straße"}, headers=ANY).status_code == 200
    for q in (name[:9], decomposed[:9].upper(), f"strasse {name}", f"STRASSE {decomposed}"):
        found = manager.http.get(USERS, params={"q": q}).json()["items"]
        assert [each["id"] for each in found] == [person.id for person in people], q
        bookings = manager.http.get("/api/v1/office/bookings", params={"q": q})
        assert bookings.status_code == 200


def test_new_cleaner_has_working_hours_and_is_bookable(api: RunningApi) -> None:
    admin, person = api.person("admin"), api.person()
    changed = admin.http.patch(f"{USERS}/{person.id}", json={"role": "cleaner"}, headers=ANY)
    assert changed.json()["role"] == "cleaner"
    assert rows(api, "SELECT is_bookable FROM cleaner WHERE account_id = ?", person.id) == [(1,)]
    assert rows(api, "SELECT count(*) FROM working_hours WHERE cleaner_id = ?", person.id) == [(5,)]
    query = "SELECT actor_id FROM audit_entry WHERE subject_id = ? AND action = 'role.changed'"
    assert rows(api, query, person.id) == [(admin.id,)]
    admin.http.patch(f"{USERS}/{person.id}", json={"role": "client"}, headers=ANY)
    assert rows(api, "SELECT is_bookable FROM cleaner WHERE account_id = ?", person.id) == [(0,)]


def test_deactivated_account_cannot_log_in(api: RunningApi) -> None:
    admin, person = api.person("admin"), api.person()
    user = {"email": person.email, "password": person.password}
    for active, status in ((False, 401), (True, 200)):
        answer = admin.http.patch(f"{USERS}/{person.id}", json={"is_active": active}, headers=ANY)
        assert answer.status_code == 200
        assert log_in(api.anonymous, user).status_code == status
        assert person.http.get(ME).status_code == 401


def test_administrators_cannot_demote_themselves(api: RunningApi) -> None:
    admin = api.person("admin")
    for change in ({"role": "client"}, {"is_active": False}):
        assert slug(admin.http.patch(f"{USERS}/{admin.id}", json=change, headers=ANY)) == (409, "last-admin")


def test_erased_account_has_no_personal_data(api: RunningApi) -> None:
    person = api.person()
    make_cleaner(api)
    booking = book(person.http, order(make_service(api.database), moment(day_ahead(5), 10)))
    assert booking.status_code == 201
    export = person.http.get(f"{ME}/export").json()
    assert export["profile"]["email"] == person.email
    assert [each["id"] for each in export["data"]["bookings"]] == [booking.json()["id"]]
    assert {"staff", "reviews", "bookings"} <= export["data"].keys()
    audit = "SELECT count(*) FROM audit_entry WHERE subject_id = ?"
    ((before,),) = rows(api, audit, person.id)
    wrong = person.http.post(f"{ME}/erase", json={"current_password": "wrong horse battery"})
    assert slug(wrong) == (403, "wrong-password")
    assert person.http.post(f"{ME}/erase", json={"current_password": person.password}).status_code == 204
    assert person.http.get(ME).status_code == 401
    query = "SELECT full_name, phone, is_active FROM user_account WHERE id = ?"
    assert rows(api, query, person.id) == [("Erased user", None, 0)]
    query = "SELECT address, notes, state FROM booking WHERE client_id = ?"
    assert rows(api, query, person.id) == [("", "", "cancelled")]
    assert not rows(api, "SELECT 1 FROM idempotency_record WHERE scope = ?", person.id)
    assert not rows(api, "SELECT 1 FROM account_term WHERE account_id = ?", person.id)
    ((after,),) = rows(api, audit, person.id)
    assert int(str(after)) > int(str(before))
    user = {"email": person.email, "password": person.password, "full_name": "Ann"}
    assert log_in(api.anonymous, user).status_code == 401
    assert api.anonymous.post(REGISTER, json=user).status_code == 201


def test_search_pages_contain_each_account_once(api: RunningApi) -> None:
    manager, name = api.person("manager"), f"Yan{secrets.token_hex(6)}"
    people = [api.person() for _ in range(3)]
    for person in people:
        assert person.http.patch(ME, json={"full_name": name}, headers=ANY).status_code == 200
    found, asked = [], {"q": name, "role": "client", "is_active": "true", "limit": "2"}
    for _ in range(2):
        page = manager.http.get(USERS, params=asked).json()
        found += [each["id"] for each in page["items"]]
        asked = asked | {"cursor": page["next_cursor"] or ""}
    assert found == [person.id for person in people]
    assert page["next_cursor"] is None


def test_erasure_keeps_only_the_stars_of_reviews(api: RunningApi) -> None:
    world = World(api)
    booking = world.review()
    execute(api.database, "UPDATE review SET comment = 'Ring at Ann' WHERE booking_id = ?", booking)
    person = world.client
    assert "Ring at Ann" in str(person.http.get(f"{ME}/export").json()["data"]["reviews"])
    assert person.http.post(f"{ME}/erase", json={"current_password": person.password}).status_code == 204
    assert rows(api, "SELECT stars, comment FROM review WHERE booking_id = ?", booking) == [(5, "")]
