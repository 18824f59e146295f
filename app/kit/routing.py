"""Finds the route of a request by its path's segments instead of trying one route after the other.

FastAPI tries the pattern of each route, and of an included router each one twice: with a hundred operations that
takes longer than most of them do.
"""

from collections.abc import Iterable, Iterator
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

ANY = "{}"
"""Stands for a segment that is a parameter."""


class _Node:
    """Routes that end here, and the nodes that follow by the next segment."""

    def __init__(self) -> None:
        self.routes: list[APIRoute] = []
        self.following: dict[str, _Node] = {}


class Crossroads(BaseRoute):
    """Stands in the application for all routes of its routers; `/users/me` goes before `/users/{user_id}`."""

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        self.routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        """All of them, in the order in which they were declared."""
        self._root = _Node()
        for route in self.routes:
            node = self._root
            for segment in route.path_format.split("/"):
                key = ANY if segment.startswith("{") else segment
                node = node.following.setdefault(key, _Node())
            node.routes.append(route)

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Choose the route; with a method that the path does not have, a partial match that `handle` refuses."""
        if scope["type"] != "http":
            return Match.NONE, {}
        allowed: set[str] = set()
        for route in _found(self._root, scope["path"].split("/")):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return match, child
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        return (Match.PARTIAL, {"route": MethodNotAllowed(allowed)}) if allowed else (Match.NONE, {})

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go the way that `matches` has chosen."""
        await scope["route"].handle(scope, receive, send)


def flat(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """The routes with those of a crossroads in its place, for whoever wants to see each of them."""
    return [each for route in routes for each in (route.routes if isinstance(route, Crossroads) else [route])]


class MethodNotAllowed:
    """Where a request goes whose path has no such method."""

    path = "unmatched"

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allow = ", ".join(sorted(allowed))

    async def handle(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        """Refuse with all methods that the path has, not only those of one route (RFC 9110, 15.5.6)."""
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": self._allow})


def _found(node: _Node, segments: list[str], at: int = 0) -> Iterator[APIRoute]:
    if at == len(segments):
        yield from node.routes
        return
    for key in (segments[at], ANY):
        if following := node.following.get(key):
            yield from _found(following, segments, at + 1)
