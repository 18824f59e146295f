"""The catalogue over HTTP: permissions, versions, idempotency and the cached list."""

import itertools
import json
import secrets
import time
from typing import Any

import httpx
import pytest
from pysqlite3 import dbapi2

from tests.app.conftest import RunningApi, Serve, Server, new_user
from tests.app.people import Person, sign_in

RULE = {
    "name": "Regular",
    "base_price": 1500,
    "price_per_square_metre": 150,
    "base_minutes": 30,
    "seconds_per_square_metre": 90,
}
JSON = {"Content-Type": "application/json"}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def manager(api: RunningApi) -> Person:
    """A manager, who may change the catalogue."""
    return api.person("manager")


def add_service(manager: Person, **rule: object) -> dict[str, Any]:
    """Add a service."""
    response = manager.http.post("/api/v1/services", json=RULE | rule)
    assert response.status_code == 201, response.text
    return dict(response.json())


def add_extra(manager: Person, service: dict[str, Any], **rule: object) -> dict[str, Any]:
    """Add an extra to a service."""
    new = {"name": "Windows", "price": 500, "minutes": 15, "maximum_quantity": 2} | rule
    response = manager.http.post(f"/api/v1/services/{service['id']}/extras", json=new)
    assert response.status_code == 201, response.text
    return dict(response.json())


def change(manager: Person, path: str, values: dict[str, object], etag: str = "*") -> httpx.Response:
    return manager.http.patch(f"/api/v1{path}", json=values, headers={"If-Match": etag})


def list_services(client: httpx.Client) -> list[dict[str, Any]]:
    """The public list."""
    response = client.get("/api/v1/services")
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


def find_listed(client: httpx.Client, service: dict[str, Any]) -> dict[str, Any] | None:
    return next((each for each in list_services(client) if each["id"] == service["id"]), None)


def assert_problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Check that the response is this problem; return its body."""
    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{slug}"), response.text
    return dict(response.json())


def test_new_service_is_listed_immediately_with_its_extras(api: RunningApi, manager: Person) -> None:
    service = add_service(manager, name="  Deep cleaning ", price_per_room=100)
    assert service["name"] == "Deep cleaning"
    first = add_extra(manager, service, name="Oven", position=2)
    second = add_extra(manager, service, name="Windows", position=1)
    hidden = add_extra(manager, service, name="Attic", is_active=False)
    shown = find_listed(api.anonymous, service)
    assert shown is not None
    assert shown["measures"] == ["square_metres", "rooms"]
    assert [extra["id"] for extra in shown["extras"]] == [second["id"], first["id"]]
    assert shown["version"] == 4
    one = api.anonymous.get(f"/api/v1/services/{service['id']}").json()
    assert one["extras"] == [hidden, second, first]
    assert one | {"extras": shown["extras"]} == shown


def test_list_is_sorted_and_omits_inactive_services(api: RunningApi, manager: Person) -> None:
    services = [add_service(manager, position=position) for position in (20, 10, 10)]
    hidden = add_service(manager, is_active=False)
    found = list_services(api.anonymous)
    keys = [(each["position"], each["id"]) for each in found]
    assert keys == sorted(keys)
    assert {each["id"] for each in services} <= {each["id"] for each in found}
    assert hidden["id"] not in {each["id"] for each in found}
    assert all(each["is_active"] for each in found)
    assert api.anonymous.get(f"/api/v1/services/{hidden['id']}").json()["is_active"] is False


def test_list_is_cacheable_and_supports_conditional_requests(api: RunningApi, manager: Person) -> None:
    service = add_service(manager)
    full = api.anonymous.get("/api/v1/services")
    etag = full.headers["ETag"]
    assert full.headers["Cache-Control"] == "public, max-age=60, stale-while-revalidate=300"
    assert full.headers["Content-Type"] == "application/json"
    assert full.json()["currency"] == "EUR"
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = api.anonymous.get("/api/v1/services", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == etag
        assert again.headers["Cache-Control"] == full.headers["Cache-Control"]
    assert change(manager, f"/services/{service['id']}", {"base_price": 1}).status_code == 200
    anew = api.anonymous.get("/api/v1/services", headers={"If-None-Match": etag})
    assert anew.status_code == 200
    assert anew.headers["ETag"] != etag


def test_list_shows_every_change_immediately(api: RunningApi, manager: Person) -> None:
    service = add_service(manager)
    extra = add_extra(manager, service)
    path = f"/services/{service['id']}"
    assert find_listed(api.anonymous, service) is not None
    change(manager, path, {"base_price": 77})
    assert (find_listed(api.anonymous, service) or {})["base_price"] == 77
    change(manager, f"{path}/extras/{extra['id']}", {"price": 78})
    assert (find_listed(api.anonymous, service) or {})["extras"][0]["price"] == 78
    change(manager, path, {"is_active": False})
    assert find_listed(api.anonymous, service) is None


def test_service_version_and_etag(api: RunningApi, manager: Person) -> None:
    service = add_service(manager)
    path = f"/api/v1/services/{service['id']}"
    read = api.anonymous.get(path)
    assert read.headers["ETag"] == '"1"'
    assert read.json() == service
    for known, status in (('"1"', 304), ('W/"1"', 304), ("*", 304), ('"2"', 200)):
        again = api.anonymous.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.headers["ETag"]) == (status, '"1"')
    changed = change(manager, f"/services/{service['id']}", {"name": "Other", "description": "More"}, '"1"')
    assert changed.headers["ETag"] == '"2"'
    assert changed.json()["name"] == "Other"
    assert changed.json()["base_price"] == RULE["base_price"]
    assert api.anonymous.get(path).json() == changed.json()
    assert_problem(change(manager, f"/services/{service['id']}", {"name": "Third"}, '"1"'), 412, "precondition-failed")
    assert_problem(manager.http.patch(path, json={"name": "Third"}), 428, "precondition-required")
    assert api.anonymous.get(path).json()["name"] == "Other"


def test_changing_an_extra_increases_its_and_its_services_version(api: RunningApi, manager: Person) -> None:
    service = add_service(manager)
    extra = add_extra(manager, service)
    path = f"/services/{service['id']}/extras/{extra['id']}"
    read = api.anonymous.get(f"/api/v1{path}")
    assert (read.headers["ETag"], read.json()) == ('"1"', extra)
    changed = change(manager, path, {"price": 9}, '"1"')
    assert (changed.headers["ETag"], changed.json()["price"]) == ('"2"', 9)
    assert_problem(change(manager, path, {"price": 10}, '"1"'), 412, "precondition-failed")
    assert_problem(manager.http.patch(f"/api/v1{path}", json={"price": 10}), 428, "precondition-required")
    assert api.anonymous.get(f"/api/v1/services/{service['id']}").headers["ETag"] == '"3"'


def test_unchanged_values_keep_the_version(manager: Person) -> None:
    service = add_service(manager)
    extra = add_extra(manager, service)
    unchanged: list[dict[str, object]] = [{}, {"name": RULE["name"]}]
    for values in unchanged:
        assert change(manager, f"/services/{service['id']}", values).headers["ETag"] == '"2"'
    unchanged = [{}, {"price": 500}]
    for values in unchanged:
        path = f"/services/{service['id']}/extras/{extra['id']}"
        assert change(manager, path, values).headers["ETag"] == '"1"'


def test_repeated_request_adds_once(api: RunningApi, manager: Person) -> None:
    key = {"Idempotency-Key": secrets.token_hex(8)}
    new = RULE | {"name": f"Once {key['Idempotency-Key']}"}
    first, again = (manager.http.post("/api/v1/services", json=new, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"] == f"/api/v1/services/{first.json()['id']}"
    assert [each["name"] for each in list_services(api.anonymous)].count(str(new["name"])) == 1
    assert_problem(manager.http.post("/api/v1/services", json=RULE, headers=key), 422, "idempotency-key-reused")
    path, key = f"{first.headers['Location']}/extras", {"Idempotency-Key": secrets.token_hex(8)}
    one, other = (manager.http.post(path, json={"name": "Windows"}, headers=key) for _ in range(2))
    assert one.json() == other.json()
    assert api.anonymous.get(one.headers["Location"]).json() == one.json()
    assert len(api.anonymous.get(first.headers["Location"]).json()["extras"]) == 1


OPERATIONS = [
    ("GET", "/office/services"),
    ("POST", "/services"),
    ("PATCH", f"/services/{UNKNOWN_ID}"),
    ("POST", f"/services/{UNKNOWN_ID}/extras"),
    ("PATCH", f"/services/{UNKNOWN_ID}/extras/{UNKNOWN_ID}"),
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_only_the_office_can_change_the_catalogue(api: RunningApi, method: str, path: str) -> None:
    def ask(client: httpx.Client) -> httpx.Response:
        body = None if method == "GET" else {"name": "Mine"}
        return client.request(method, f"/api/v1{path}", json=body, headers={"If-Match": "*"})

    assert_problem(ask(api.anonymous), 401, "invalid-token")
    for role in ("client", "cleaner"):
        assert_problem(ask(api.person(role).http), 403, "forbidden")


def test_administrators_can_change_the_catalogue_and_changes_are_audited(api: RunningApi) -> None:
    admin = api.person("admin")
    service = add_service(admin)
    extra = add_extra(admin, service)
    change(admin, f"/services/{service['id']}/extras/{extra['id']}", {"price": 1})
    change(admin, f"/services/{service['id']}", {"position": 1})
    query = "SELECT action, actor_id, details ->> 'what' FROM audit_entry WHERE subject_id = ? ORDER BY id"
    connection = dbapi2.connect(api.server.database)
    entries = connection.execute(query, (service["id"],)).fetchall()
    connection.close()
    assert entries == [
        ("catalog.changed", admin.id, what)
        for what in ("service.added", "extra.added", "extra.changed", "service.changed")
    ]


def test_unknown_services_and_extras_are_not_found(api: RunningApi, manager: Person) -> None:
    service, other = add_service(manager), add_service(manager)
    extra = add_extra(manager, service)
    for path in (f"/services/{UNKNOWN_ID}", f"/services/{other['id']}/extras/{extra['id']}"):
        assert_problem(api.anonymous.get(f"/api/v1{path}"), 404, "not-found")
        assert_problem(change(manager, path, {"name": "x"}), 404, "not-found")
    response = manager.http.post(f"/api/v1/services/{UNKNOWN_ID}/extras", json={"name": "x"})
    assert_problem(response, 404, "not-found")
    assert_problem(api.anonymous.get("/api/v1/services/1"), 422, "validation-failed")


PRICES = ["base_price", "price_per_square_metre", "price_per_room", "price_per_hour"]
WRONG_SERVICES: list[tuple[str, object]] = [
    *itertools.product(PRICES, (-1, 10_000_001, 1.5, "1", True, None, 1 << 70)),
    *itertools.product(("base_minutes", "minutes_per_room"), (-1, 721, "1")),
    ("seconds_per_square_metre", 43_201),
    ("position", 10_001),
    ("position", -1),
    *itertools.product(("name",), ("", " ", "\u2003", "a\nb", "x" * 101, None, 1, "\ud800")),
    *itertools.product(("description",), ("a\x00b", "x" * 1001, None)),
    *itertools.product(("is_active",), ("yes", 1, None)),
    ("version", 7),
    ("id", UNKNOWN_ID),
]
WRONG_EXTRAS: list[tuple[str, object]] = [
    *itertools.product(("price",), (-1, 10_000_001, "1", None)),
    *itertools.product(("minutes",), (-1, 721, True)),
    *itertools.product(("maximum_quantity",), (0, 101, None)),
    *itertools.product(("name",), ("", "\t", "x" * 101, None)),
    ("position", 10_001),
    ("service_id", UNKNOWN_ID),
]


@pytest.mark.parametrize(("field", "value"), WRONG_SERVICES)
def test_invalid_service_is_refused(manager: Person, field: str, value: object) -> None:
    for response in (
        manager.http.post("/api/v1/services", content=as_json(RULE | {field: value}), headers=JSON),
        manager.http.patch(
            f"/api/v1/services/{UNKNOWN_ID}", content=as_json({field: value}), headers=JSON | {"If-Match": "*"}
        ),
    ):
        assert field in [error["field"] for error in assert_problem(response, 422, "validation-failed")["errors"]]


@pytest.mark.parametrize(("field", "value"), WRONG_EXTRAS)
def test_invalid_extra_is_refused(manager: Person, field: str, value: object) -> None:
    path = f"/api/v1/services/{UNKNOWN_ID}/extras"
    for response in (
        manager.http.post(path, content=as_json({"name": "x", field: value}), headers=JSON),
        manager.http.patch(f"{path}/{UNKNOWN_ID}", content=as_json({field: value}), headers=JSON | {"If-Match": "*"}),
    ):
        assert field in [error["field"] for error in assert_problem(response, 422, "validation-failed")["errors"]]


def test_maximum_values_are_accepted(manager: Person) -> None:
    most: dict[str, object] = dict.fromkeys(PRICES, 10_000_000)
    most |= {"base_minutes": 720, "minutes_per_room": 720, "seconds_per_square_metre": 43_200, "position": 10_000}
    service = add_service(manager, **most, name="x" * 100, description="x" * 1000)
    assert most.items() <= service.items()
    extra = {"price": 10_000_000, "minutes": 720, "maximum_quantity": 100, "position": 10_000}
    assert extra.items() <= add_extra(manager, service, **extra).items()


def test_office_list_pages_include_inactive_services(manager: Person) -> None:
    created = {add_service(manager, is_active=number % 2 == 0, position=5000 + number)["id"] for number in range(5)}
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = manager.http.get("/api/v1/office/services", params=query).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    keys = [(each["position"], each["id"]) for each in seen]
    assert keys == sorted(set(keys))
    assert created <= {each["id"] for each in seen}
    assert_problem(manager.http.get("/api/v1/office/services", params={"cursor": "x"}), 422, "validation-failed")


def test_a_quote(api: RunningApi, manager: Person) -> None:
    service = add_service(manager)
    extra = add_extra(manager, service)
    hidden = add_extra(manager, service, is_active=False)
    wanted = {"service_id": service["id"], "square_metres": 60, "extras": [{"extra_id": extra["id"], "quantity": 2}]}
    response = api.anonymous.post("/api/v1/quotes", json=wanted)
    assert response.status_code == 200
    quoted = response.json()
    assert (quoted["total"], quoted["duration_minutes"], quoted["currency"]) == (11_500, 150, "EUR")
    assert [item["kind"] for item in quoted["items"]] == ["base", "square_metres", "extra"]
    for change_of, field, code in (
        ({"square_metres": None}, "square_metres", "missing"),
        ({"service_id": UNKNOWN_ID}, "service_id", "unknown"),
        ({"extras": [{"extra_id": hidden["id"]}]}, "extras.0.extra_id", "unknown"),
        ({"extras": [{"extra_id": extra["id"], "quantity": 3}]}, "extras.0.quantity", "too_many"),
        ({"extras": [{"extra_id": extra["id"]}] * 2}, "extras.1.extra_id", "repeated"),
        ({"extras": [{"extra_id": extra["id"]}] * 21}, "extras", "too_long"),
        ({"square_metres": 0}, "square_metres", "greater_than_equal"),
        ({"square_metres": "60"}, "square_metres", "int_type"),
        ({"square_meters": 60}, "square_meters", "extra_forbidden"),
    ):
        wrong = assert_problem(api.anonymous.post("/api/v1/quotes", json=wanted | change_of), 422, "validation-failed")
        assert [(error["field"], error["code"]) for error in wrong["errors"]] == [(field, code)]
    assert_problem(api.anonymous.post("/api/v1/quotes", json=wanted | {"square_metres": 2000}), 422, "visit-too-long")
    change(manager, f"/services/{service['id']}", {"is_active": False})
    wrong = assert_problem(api.anonymous.post("/api/v1/quotes", json=wanted), 422, "validation-failed")
    assert wrong["errors"][0]["field"] == "service_id"


def insert_services(server: Server, services: int) -> None:
    """Insert active services directly into the database."""
    connection = dbapi2.connect(server.database, timeout=20)
    with connection:
        connection.executemany(
            "INSERT INTO cleaning_service (id, name, description, position, base_price, price_per_square_metre,"
            " price_per_room, price_per_hour, base_minutes, seconds_per_square_metre, minutes_per_room, version,"
            " created_at, updated_at) VALUES (?, 'S', '', 0, 0, 0, 0, 0, 0, 0, 0, 1, ?, ?)",
            [(f"{number:08}-0000-4000-8000-000000000000", *["2026-01-01 00:00:00"] * 2) for number in range(services)],
        )
    connection.close()


def test_full_catalogue_refuses_additions(server: Server, client: httpx.Client) -> None:
    insert_services(server, 499)
    manager = sign_in(client, server.database, new_user(), "manager")
    last = add_service(manager)
    assert len(list_services(client)) == 500
    assert_problem(client.post("/api/v1/services", json=RULE), 409, "catalogue-full")
    hidden = add_service(manager, is_active=False)
    assert_problem(change(manager, f"/services/{hidden['id']}", {"is_active": True}), 409, "catalogue-full")
    assert change(manager, f"/services/{last['id']}", {"is_active": False}).status_code == 200
    assert change(manager, f"/services/{hidden['id']}", {"is_active": True}).status_code == 200
    for _ in range(100):
        add_extra(manager, hidden)
    assert_problem(client.post(f"/api/v1/services/{hidden['id']}/extras", json={"name": "x"}), 409, "catalogue-full")


def test_change_reaches_another_replica_within_two_seconds(serve: Serve) -> None:
    one, other = serve(), serve()
    with (
        httpx.Client(base_url=one.url, trust_env=False) as here,
        httpx.Client(base_url=other.url, trust_env=False) as far,
    ):
        manager = sign_in(here, one.database, new_user(), "manager")
        service = add_service(manager)
        time.sleep(2)
        assert find_listed(far, service) is not None
        change(manager, f"/services/{service['id']}", {"base_price": 77})
        assert (find_listed(here, service) or {})["base_price"] == 77
        started = time.monotonic()
        while (find_listed(far, service) or {})["base_price"] != 77:
            assert time.monotonic() - started < 2.5
            time.sleep(0.05)
        assert here.get("/api/v1/services").headers["ETag"] == far.get("/api/v1/services").headers["ETag"]


def as_json(body: dict[str, object]) -> bytes:
    """Encode JSON, including lone surrogates, which httpx refuses."""
    return json.dumps(body).encode()
