"""For the few routes that are asked for most: parameters without FastAPI's dependencies.

Resolving a handful of dependencies takes longer than everything else such a route does. These read the request
themselves and put into the OpenAPI document what FastAPI would have put there.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def query(request: Request, model: type[M]) -> M:
    """The request's query; what the model does not know is left out.

    Raises:
        RequestValidationError: it is not what the model says; answered like FastAPI's own.
    """
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError([each | {"loc": ("query", *each["loc"])} for each in error.errors()]) from error


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route with this query, for whoever is signed in."""
    schema = model.model_json_schema()
    names = schema.get("$defs", {})
    parameters = []
    for name, described in schema["properties"].items():
        about = {"description": text} if (text := described.pop("description", None)) else {}
        parameters.append(
            {"name": name, "in": "query", "required": False, "schema": _inlined(described, names)} | about
        )
    return {"parameters": parameters}


def _inlined(schema: Any, names: Mapping[str, Any]) -> Any:  # noqa: ANN401  # any JSON
    """The schema without references."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(names[schema["$ref"].rpartition("/")[2]], names)
        return {key: _inlined(value, names) for key, value in schema.items()}
    return [_inlined(each, names) for each in schema] if isinstance(schema, list) else schema
