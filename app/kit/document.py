"""The OpenAPI document: what FastAPI says of the routes, and what it cannot know.

Headers are documented here and nowhere else, derived from what an operation takes and answers. Problems that every
operation may answer with, be it through the proxy, are added here, too.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.kit import examples
from app.kit.middleware import is_throttled
from app.kit.problems import BadGateway, DeadlineExceeded, InternalError, Overloaded, ProblemDetails, ValidationFailed
from app.kit.problems import responses as described
from app.kit.routing import Crossroads, flat
from app.settings import Settings

Json = dict[str, Any]

PREBUILT = Path(__file__).with_suffix(".json")
"""The document that the image's build has made, which no request has to wait for; a checkout has none."""
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
REFERENCE = re.compile(r'"#/components/schemas/(\w+)"')
LITERAL = frozenset({"default", "example", "examples", "enum", "const"})
"""Keywords whose values are no schemas."""
BY_ANYBODY = described(InternalError, BadGateway, Overloaded, DeadlineExceeded)
"""What the API or the proxy before it may answer with to any request."""
AGAIN_LATER = frozenset({"429", "502", "503", "504"})
"""Statuses with Retry-After, as a rule."""


def _header(description: str, schema: Json, *, always: bool = False) -> Json:
    return {"description": description, "schema": schema} | ({"required": True} if always else {})


TEXT = {"type": "string"}
HEADERS: dict[str, Json] = {
    "ETag": _header(
        "The version that the answer shows: send it back as If-Match to change it",
        TEXT | {"examples": ['"3"']},
        always=True,
    ),
    "Location": _header("Path of what was created", TEXT | {"format": "uri-reference"}, always=True),
    "Idempotency-Replayed": _header(
        "The request had been answered before; this is that answer", TEXT | {"enum": ["true"]}
    ),
    "Retry-After": _header(
        "Seconds to wait before the next attempt; missing where waiting does not help",
        {"type": "integer", "minimum": 1, "examples": [5]},
    ),
    "WWW-Authenticate": _header("How to sign in", TEXT | {"examples": ["Bearer"]}, always=True),
    "RateLimit-Policy": _header(
        "Limits: name, requests (q) and seconds (w); missing where the proxy answers itself",
        TEXT | {"examples": ['"address";q=3000;w=60, "account";q=600;w=60']},
    ),
    "RateLimit": _header(
        "What is left of each limit: requests (r) and seconds until the window ends (t); missing like RateLimit-Policy",
        TEXT | {"examples": ['"address";r=2999;t=42, "account";r=599;t=42']},
    ),
    "X-Request-ID": _header(
        "Quote it when asking for help; missing where the proxy answers itself",
        TEXT | {"examples": ["9b2f6c0e4d1a4f7c8e3b5a6d7c8e9f01"]},
    ),
}
"""Headers of answers, by name. What any HTTP answer may have (Cache-Control, Content-Type and the like) is left out."""


class Document:
    """The document of an application. It is built once, and filled with examples for each request."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._fillable: examples.Fillable | None = None

    def build(self) -> examples.Fillable:
        """Do what needs to be done once: a second of computing, or reading the file that the image has."""
        if self._fillable is None:
            built = json.loads(PREBUILT.read_bytes()) if PREBUILT.exists() else _built(self._app)
            built["servers"] = _servers(self._settings)
            self._fillable = examples.Fillable(json.dumps(built, ensure_ascii=False, separators=(",", ":")))
        return self._fillable

    def text(self, on_offer: Mapping[str, str]) -> str:
        """The document as JSON.

        Args:
            on_offer: see `Fillable.filled`.
        """
        zone, notice = self._settings.zone, timedelta(hours=self._settings.booking_notice_hours)
        start = examples.next_visit(datetime.now(UTC), zone, notice)
        return self.build().filled(start, zone, on_offer)


def prebuild(app: FastAPI) -> None:
    """Write the document to `PREBUILT`."""
    PREBUILT.write_text(json.dumps(_built(app)), encoding="utf-8")


def _built(app: FastAPI) -> Json:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        tags=app.openapi_tags,
        routes=flat(app.routes),
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem | {"title": "Problem"})
    for name in UNUSED_SCHEMAS:
        schemas.pop(name, None)
    components["headers"] = HEADERS
    strict = _with_known_queries(app)
    changeable = {path for path, each in _operations(document) if _takes(each, "If-Match")}
    versioned = {model for path, each in _operations(document) if path in changeable for model in _models(each)}
    for path, operation in _operations(document):
        # A public operation says so; without this a reader cannot tell it from one that was forgotten.
        operation.setdefault("security", [])
        answers = operation["responses"]
        for status, answer in _shared_answers(operation, strict).items():
            _add(answers, str(status), answer)
        operation["responses"] = {status: answers[status] for status in sorted(answers)}
        for status, answer in answers.items():
            names = _headers(path, operation, status, versioned)
            references = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
            answer["headers"] = answer.get("headers", {}) | references
        _give_examples(operation, schemas)
    for name in _sent(document):
        _say_defaults(schemas[name])
    for schema in schemas.values():
        _drop_titles(schema.get("properties", {}))
    _drop_titles(document["paths"])
    return document


def _servers(settings: Settings) -> list[Json]:
    """Where the service is.

    The first one is relative to the document, because `/docs` must speak to the host that it came from, whatever the
    name it was asked by. Makers of clients that know no relative URLs find the whole one behind it.
    """
    here = {"url": "/", "description": "Where this document comes from"}
    return [here, {"url": settings.public_url, "description": "PUBLIC_URL"}] if settings.public_url else [here]


def _with_known_queries(app: FastAPI) -> set[str]:
    """Ids of the operations that refuse a query which they do not know."""
    return {
        route.operation_id or route.unique_id
        for crossroads in app.routes
        if isinstance(crossroads, Crossroads)
        for route in crossroads.routes
        if isinstance(route, APIRoute) and not crossroads.takes_any_query(route)
    }


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


def _takes(operation: Json, header: str) -> bool:
    sent = (each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header")
    return header.lower() in sent


def _models(operation: Json) -> set[str]:
    """References to the schemas of its good answers."""
    return {reference for status, answer in operation["responses"].items() if (reference := _model(status, answer))}


def _model(status: str, answer: Json) -> str | None:
    """The reference to the schema of an answer, if it is a good one with a body."""
    if not status.startswith("2"):
        return None
    reference = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
    return None if reference is None else str(reference)


def _shared_answers(operation: Json, strict: set[str]) -> dict[int | str, Json]:
    refused = described(ValidationFailed) if operation["operationId"] in strict else {}
    return BY_ANYBODY | refused


def _add(answers: Json, status: str, answer: Json) -> None:
    """Add an answer, or its examples to those of an answer that is there."""
    copy = json.loads(json.dumps(answer))
    if status not in answers:
        answers[status] = copy
        return
    for media_type, content in copy["content"].items():
        there = answers[status].setdefault("content", {}).setdefault(media_type, content)
        there["examples"] = content["examples"] | there.get("examples", {})


def _headers(path: str, operation: Json, status: str, versioned: set[str]) -> list[str]:
    """Names of the headers of an answer: facts of the operation and of the status decide."""
    good, keyed = status.startswith("2"), _takes(operation, "Idempotency-Key")
    # What can be changed with If-Match is always answered with its ETag; so is what can be kept with If-None-Match.
    model = _model(status, operation["responses"][status])
    tagged = model in versioned or (_takes(operation, "If-None-Match") and (good or status == "304"))
    facts = {
        "ETag": tagged,
        "Location": status == "201",
        "Idempotency-Replayed": good and keyed,
        "Retry-After": status in AGAIN_LATER or (status == "409" and keyed),
        "WWW-Authenticate": status == "401",
        "RateLimit-Policy": is_throttled(path),
        "RateLimit": is_throttled(path),
        "X-Request-ID": True,
    }
    return [name for name, is_sent in facts.items() if is_sent]


def _sent(document: Json) -> set[str]:
    """Names of the schemas that bodies of requests are made of."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = [each["requestBody"] for _, each in _operations(document) if "requestBody" in each]
    while waiting:
        for name in set(REFERENCE.findall(json.dumps(waiting.pop()))) - found:
            found.add(name)
            waiting.append(schemas[name])
    return found


def _say_defaults(schema: Json) -> None:
    """Tell of defaults in words: makers of clients take a property with `default` for one that is always there."""
    for property_ in schema.get("properties", {}).values():
        if "default" in property_:
            default = json.dumps(property_.pop("default"), ensure_ascii=False)
            sentence = f"Without it: `{default}`"
            property_["description"] = ". ".join(filter(None, [property_.get("description", "").rstrip("."), sentence]))


def _give_examples(operation: Json, schemas: Json) -> None:
    """Say what to send for each body and for each parameter that must be there, or that makes repeating safe."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": True}  # the default, said for readers
        if parameter["name"] == "Idempotency-Key":
            parameter["example"] = examples.KEY
        elif parameter["required"] or parameter["name"].lower() == "if-match":
            parameter["example"] = examples.of_schema(schema, schemas, parameter["name"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["example"] = examples.of_schema(content["schema"], schemas)


def _drop_titles(part: Any) -> None:  # noqa: ANN401  # any JSON
    """Remove the titles that pydantic makes of names: makers of clients take them for names of types."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        for keyword, value in part.items():
            if keyword not in LITERAL:
                _drop_titles(value)
    elif isinstance(part, list):
        for each in part:
            _drop_titles(each)
