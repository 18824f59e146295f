"""Finds the route of a request by its path's segments instead of trying one route after the other.

FastAPI tries the pattern of each route, and of an included router each one twice: with a hundred operations that
takes longer than most of them do.
"""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, StringConvertor
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from app.kit.query import QueryNames

ANY = "{}"
"""Stands for a segment that is a parameter."""
PARAMETER = re.compile(r"\{(\w+)\}")


class UnusableRouteError(Exception):
    """A route that no request would ever reach; the text names its path."""


class _Node:
    """Routes that end here, and the nodes that follow by the next segment."""

    def __init__(self) -> None:
        self.routes: list[APIRoute] = []
        self.following: dict[str, _Node] = {}


class Crossroads(BaseRoute):
    """Stands in the application for all routes of its routers; `/users/me` goes before `/users/{user_id}`."""

    def __init__(self, routers: Iterable[APIRouter], *, any_query: tuple[str, ...] = ()) -> None:
        """Sort the routes.

        Args:
            routers: whose routes these are.
            any_query: beginnings of paths whose queries are not looked at.

        Raises:
            UnusableRouteError: no request would ever reach one of them.
        """
        self.routes: list[APIRoute] = []
        """All of them, in the order in which they were declared."""
        self._root = _Node()
        self._queries: dict[int, QueryNames] = {}
        """By identity of the route: what a query may hold."""
        for router in routers:
            for route in router.routes:
                if not isinstance(route, APIRoute):
                    raise UnusableRouteError(f"{getattr(route, 'path', route)}: only operations are found by segments")
                self._add(route)
                if not route.path.startswith(any_query):
                    self._queries[id(route)] = QueryNames.of(route)

    def _add(self, route: APIRoute) -> None:
        node = self._root
        for segment in _segments(route):
            key = ANY if segment.startswith("{") else segment
            node = node.following.setdefault(key, _Node())
        for earlier in node.routes:
            methods = _methods(earlier) & _methods(route)
            if methods and _covers(earlier, route):
                raise UnusableRouteError(
                    f"{', '.join(sorted(methods))} {route.path}: {earlier.path}, declared before, gets its requests"
                )
        node.routes.append(route)
        self.routes.append(route)

    def takes_any_query(self, route: APIRoute) -> bool:
        """Whether nobody looks at the query of a request to this route."""
        return id(route) not in self._queries

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
        """Go the way that `matches` has chosen.

        Raises:
            ValidationFailed: the query holds what the operation does not know, or a single parameter twice.
        """
        route = scope["route"]
        if scope["query_string"] and (names := self._queries.get(id(route))):
            names.check(scope["query_string"])
        await route.handle(scope, receive, send)


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


def _segments(route: APIRoute) -> list[str]:
    """The path's segments, each either literal or one parameter.

    Raises:
        UnusableRouteError: a segment is something else, which a search by segments cannot find.
    """
    if any(isinstance(convertor, PathConvertor) for convertor in route.param_convertors.values()):
        raise UnusableRouteError(f"{route.path}: a parameter of several segments ({{…:path}}) would never match")
    segments = route.path_format.split("/")
    for segment in segments:
        if ("{" in segment or "}" in segment) and not PARAMETER.fullmatch(segment):
            raise UnusableRouteError(f"{route.path}: {segment} would never match; a parameter is a whole segment")
    return segments


def _methods(route: APIRoute) -> set[str]:
    return route.methods or set()


def _covers(earlier: APIRoute, later: APIRoute) -> bool:
    """Whether every path of the later one is one of the earlier one, both having the same literal segments."""
    pairs = zip(_convertors(earlier), _convertors(later), strict=True)
    return all(wide is StringConvertor or wide is narrow for wide, narrow in pairs)


def _convertors(route: APIRoute) -> list[type]:
    names = PARAMETER.findall(route.path_format)
    return [type(route.param_convertors[name]) for name in names]


def _found(node: _Node, segments: list[str], at: int = 0) -> Iterator[APIRoute]:
    if at == len(segments):
        yield from node.routes
        return
    for key in (segments[at], ANY):
        if following := node.following.get(key):
            yield from _found(following, segments, at + 1)
