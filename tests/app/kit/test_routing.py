"""Routes are found by segments, literal ones first; a wrong method learns all the right ones."""

import asyncio

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from app.kit.routing import Crossroads

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
