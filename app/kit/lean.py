"""For the few routes that are asked for most: parameters without FastAPI's dependencies.

Resolving a handful of dependencies takes longer than everything else such a route does. These read the request
themselves and put into the OpenAPI document what FastAPI would have put there.
"""

from functools import cache
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def query(request: Request, model: type[M]) -> M:
    """The request's query.

    Raises:
        RequestValidationError: it is not what the model says; answered like FastAPI's own.
    """
    try:
        sent: dict[str, object] = dict(request.query_params)
        for name in _lists(model):
            if name in sent:
                sent[name] = request.query_params.getlist(name)
        return model.model_validate(sent)
    except ValidationError as error:
        raise RequestValidationError([each | {"loc": ("query", *each["loc"])} for each in error.errors()]) from error


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route with this query.

    The models that it refers to must be in the document already, by an operation that FastAPI describes.
    """
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    parameters = []
    for name, described in schema["properties"].items():
        about = {"description": text} if (text := described.pop("description", None)) else {}
        parameters.append({"name": name, "in": "query", "required": False, "schema": described} | about)
    return {"parameters": parameters}


@cache
def _lists(model: type[BaseModel]) -> tuple[str, ...]:
    """Parameters that may come several times."""
    return tuple(each["name"] for each in documented(model)["parameters"] if each["schema"].get("type") == "array")
