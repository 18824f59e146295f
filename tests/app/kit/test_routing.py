"""Routes are found by segments, literal ones first; a wrong method learns all the right ones; none is unreachable."""

import asyncio

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket

from app.kit.routing import Crossroads, UnusableRouteError

router = APIRouter(prefix="/things")


@router.get("/{thing}")
async def read(thing: str) -> str:
    return f"thing {thing}"


@router.get("/mine")
async def mine() -> str:
    return "mine"


@router.delete("/{thing}")
async def remove(thing: str) -> str:
    return f"removed {thing}"


@router.get("/{thing}/parts/{part}")
async def part(thing: str, part: str) -> str:
    return f"{part} of {thing}"


def ask(method: str, path: str) -> httpx.Response:
    app = FastAPI(redirect_slashes=False)
    app.router.routes.insert(0, Crossroads([router]))

    async def scene() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
            return await client.request(method, path)

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/things/7", "thing 7"),
        ("GET", "/things/mine", "mine"),
        ("DELETE", "/things/mine", "removed mine"),
        ("GET", "/things/mine/parts/2", "2 of mine"),
        ("GET", "/things/a%20b", "thing a b"),
    ],
)
def test_found(method: str, path: str, expected: str) -> None:
    answer = ask(method, path)
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize("path", ["/things", "/things/", "/things/1/", "/things/1/parts", "/other/1", "/things/{}/x"])
def test_not_found(path: str) -> None:
    assert ask("GET", path).status_code == 404


def test_a_wrong_method_learns_all_right_ones() -> None:
    answer = ask("PUT", "/things/7")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET")


async def nothing() -> None:
    """What a route calls."""


def crossroads(*routes: tuple[str, str]) -> Crossroads:
    """Of one router with these routes: method and path."""
    router = APIRouter()
    for method, path in routes:
        router.add_api_route(path, nothing, methods=[method])
    return Crossroads([router])


@pytest.mark.parametrize(
    "path",
    [
        "/things/prefix-{id}",
        "/things/{id}-suffix",
        "/things/{id}.json",
        "/things/{first}{second}",
        "/things/{id:int}.json",
        "/files/{rest:path}",
        "/files/{rest:path}/about",
    ],
)
def test_a_path_that_would_never_match_is_refused(path: str) -> None:
    with pytest.raises(UnusableRouteError) as refusal:
        crossroads(("GET", "/things"), ("GET", path))
    assert path in str(refusal.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/things/{thing}", "/things/{thing}"),
        ("/things/{thing}", "/things/{other}"),
        ("/things/{thing}", "/things/{number:int}"),
        ("/things/{number:int}", "/things/{other:int}"),
        ("/things/{thing}/parts/{part}", "/things/{number:int}/parts/{part}"),
        ("/things/mine", "/things/mine"),
    ],
)
def test_a_route_that_another_one_hides_is_refused(first: str, second: str) -> None:
    with pytest.raises(UnusableRouteError) as refusal:
        crossroads(("GET", first), ("GET", second))
    assert f"GET {second}" in str(refusal.value)
    assert crossroads(("GET", first), ("PUT", second)).routes


def test_routes_that_only_look_alike_are_fine() -> None:
    assert crossroads(("GET", "/things/{number:int}"), ("GET", "/things/{thing}"), ("GET", "/things/mine")).routes


def test_what_is_no_operation_is_refused() -> None:
    router = APIRouter()

    @router.websocket("/things/live")
    async def live(_: WebSocket) -> None:
        """Nobody gets here."""

    with pytest.raises(UnusableRouteError, match="/things/live"):
        Crossroads([router])
