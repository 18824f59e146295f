"""Bodies say each thing once.

Of two values for one name a parser silently takes one, and perhaps the sender meant the other.
"""

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from typing_extensions import override

from app.kit.problems import FieldError, ValidationFailed

REPORTED = 20  # repeated names that one answer lists at most
NAME_LENGTH = 100  # characters of a repeated name that the answer repeats


class StrictRequest(Request):
    """A request in whose body no object and no form has a name twice."""

    @override
    async def json(self) -> Any:  # any JSON
        """Read the body as JSON.

        Raises:
            ValidationFailed: an object has a name twice.
        """
        if not hasattr(self, "_json"):
            self._json = json.loads(await self.body(), object_pairs_hook=_object)
        return self._json

    @override
    async def _get_form(self, **limits: Any) -> FormData:
        """Read the body as a form.

        Raises:
            ValidationFailed: it has a field twice.
        """
        form = await super()._get_form(**limits)
        _check(Counter(name for name, _ in form.multi_items()))
        return form


class StrictRoute(APIRoute):
    """An operation that reads its body by StrictRequest."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What handles a request; without a body there is nothing to be strict about."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        _check(Counter(name for name, _ in pairs))
    return read


def _check(names: Counter[str]) -> None:
    repeated = [name for name, times in names.items() if times > 1][:REPORTED]
    if repeated:
        raise ValidationFailed(
            errors=[
                FieldError(
                    location="body",
                    field=name[:NAME_LENGTH].encode(errors="replace").decode(),
                    code="repeated",
                    message="Only one value is possible",
                )
                for name in repeated
            ]
        )
