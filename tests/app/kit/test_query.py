"""Queries that only take what they know: everywhere, and in every way in which an operation declares its parameters."""

from itertools import pairwise

import httpx
import pytest

from app.kit.problems import ValidationFailed
from app.kit.query import NAME_LENGTH, REPORTED, QueryNames
from tests.app.conftest import RunningApi
from tests.app.operations import OPERATIONS, World
from tests.app.people import Person

NAMES = QueryNames(frozenset({"limit", "state"}), frozenset({"state"}))


def wrong(query: str) -> list[tuple[str, str]]:
    """Field and code of each error."""
    try:
        NAMES.check(query.encode())
    except ValidationFailed as problem:
        return [(error.field, error.code) for error in problem.errors or ()]
    return []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=1&state=a&state=b", []),
        ("limit=", []),  # wrong, but known: the operation says what is wrong with it
        ("&", []),
        ("limits=1", [("limits", "unknown")]),
        ("LIMIT=1", [("LIMIT", "unknown")]),
        ("limit[]=1", [("limit[]", "unknown")]),
        ("%6Cimit=1&limit=1", [("limit", "repeated")]),
        ("limit=1&limit=1&limit=1", [("limit", "repeated")]),
        ("x", [("x", "unknown")]),
        ("x=1&x=2", [("x", "unknown")]),
        ("=1", [("", "unknown")]),
        ("limit=1&limit=2&x=1", [("limit", "repeated"), ("x", "unknown")]),
        ("%ff=1", [("\ufffd", "unknown")]),
    ],
)
def test_names(query: str, expected: list[tuple[str, str]]) -> None:
    assert wrong(query) == expected


def test_an_answer_lists_only_so_many_names() -> None:
    assert len(wrong("&".join(f"x{number}" for number in range(10_000)))) == REPORTED
    assert wrong("x" * 10_000) == [("x" * NAME_LENGTH, "unknown")]


def codes(answer: httpx.Response) -> set[tuple[str, str, str]]:
    """Location, field and code of each error."""
    return {(each["location"], each["field"], each["code"]) for each in answer.json()["errors"]}


@pytest.fixture(scope="module")
def world(api: RunningApi) -> World:
    """A small company."""
    return World(api)


def test_a_misspelt_filter_does_not_find_everything(world: World) -> None:
    answer = world.manager.http.get("/api/v1/office/bookings?cleaner=nobody")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation-failed")
    assert codes(answer) == {("query", "cleaner", "unknown")}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each not in {"health", "live", "ready"}])
def test_no_operation_takes_what_it_does_not_know(world: World, operation: str) -> None:
    call = OPERATIONS[operation](world)
    call.path += ("&" if "?" in call.path else "?") + "surprise=1"
    answer = call.send(world.http, world.token(world.admin))
    assert answer.status_code == 422, answer.text
    assert codes(answer) == {("query", "surprise", "unknown")}


def test_every_documented_parameter_is_known_and_only_lists_may_be_repeated(world: World) -> None:
    paths = world.http.get("/openapi.json").json()["paths"]
    several = set()
    for path, operations in paths.items():
        for method, operation in operations.items():
            for parameter in (each for each in operation.get("parameters", ()) if each["in"] == "query"):
                name = parameter["name"]
                answer = world.admin.http.request(
                    method, path.replace("{cleaner_id}", world.cleaner.id), params=[(name, "?"), (name, "?")]
                )
                # Whatever is wrong with a question mark: known it is.
                repeated = ("query", name, "repeated") in codes(answer) if answer.status_code == 422 else False
                is_list = parameter["schema"].get("type") == "array"
                assert repeated is not is_list, (path, name, answer.text)
                assert answer.status_code != 422 or ("query", name, "unknown") not in codes(answer)
                if is_list:
                    several.add((operation["operationId"], name))
    assert several == {
        ("list_my_bookings", "state"),
        ("list_bookings", "state"),
        ("list_notifications", "state"),
        ("read_audit_log", "action"),
    }


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"])
def test_what_machines_ask_takes_any_query(api: RunningApi, path: str) -> None:
    assert api.anonymous.get(f"{path}?cache-buster=1&cache-buster=2").status_code == 200


@pytest.mark.parametrize("path", ["office/bookings?state=", "office/bookings?cleaner_id=", "office/bookings?from=",
                                  "office/bookings?limit=", "office/bookings?cursor=", "office/bookings?q=",
                                  "office/notifications?state=", "office/audit?action=", "office/audit?actor_id=",
                                  "users?role=", "users?is_active=", "cleaners?limit"])  # fmt: skip
def test_an_empty_value_is_not_no_filter(world: World, path: str) -> None:
    answer = world.admin.http.get(f"/api/v1/{path}")
    assert answer.status_code == 422, answer.text


def test_several_states_are_listed_together_in_one_order(world: World) -> None:
    made: dict[str, list[str]] = {"assigned": [], "cancelled": [], "completed": []}
    for _ in range(3):  # one after the other in time
        for state, identifiers in made.items():
            identifiers.append(world.booking(state))

    def listed(person: Person, path: str, states: str) -> list[tuple[str, str, str]]:
        items: list[tuple[str, str, str]] = []
        cursor = ""
        while True:
            page = world.http.get(
                f"{path}?{states}&limit=2{cursor}",
                headers={"Authorization": f"Bearer {world.token(person)}"},
            ).json()
            items += [(each["id"], each["state"], each["starts_at"]) for each in page["items"]]
            if page["next_cursor"] is None:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    for path, person in (("/api/v1/bookings", world.client), ("/api/v1/office/bookings", world.manager)):
        two = listed(person, path, "state=cancelled&state=assigned&state=cancelled")
        assert {state for _, state, _ in two} == {"assigned", "cancelled"}
        assert {*made["assigned"], *made["cancelled"]} <= {identifier for identifier, _, _ in two}
        assert len({identifier for identifier, _, _ in two}) == len(two)
        assert all(first[2] >= second[2] for first, second in pairwise(two))
        one = listed(person, path, "state=cancelled")
        assert [each for each in two if each[1] == "cancelled"] == one


def test_several_states_of_notifications_and_several_actions(world: World) -> None:
    letter = world.dead_letter()
    states = "/api/v1/office/notifications?state=pending&state=dead&limit=100"
    assert letter in {each["id"] for each in world.manager.http.get(states).json()["items"]}
    log = world.admin.http.get("/api/v1/office/audit?action=login.succeeded&action=role.changed&limit=100").json()
    assert {each["action"] for each in log["items"]} <= {"login.succeeded", "role.changed"}
    order = [each["id"] for each in log["items"]]
    assert order == sorted(order, reverse=True)
