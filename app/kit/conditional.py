"""`ETag` and `If-None-Match` (RFC 9110): what a client has already is not sent again."""

import re
from typing import Any

from fastapi import Request

ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
NOT_MODIFIED = 304
PARAMETER = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "ETags that the client has, or `*`; the answer is 304 when the newest is among them",
}
"""Of an operation, for OpenAPI's `parameters`."""
DOCUMENTED: dict[int | str, dict[str, Any]] = {NOT_MODIFIED: {"description": "The client has the newest state already"}}
"""Of an operation, for OpenAPI's `responses`."""


def unchanged(request: Request, etag: str) -> bool:
    """Whether the client has the state with this (strong) tag; tags are compared weakly, as is due for GET."""
    offered = request.headers.getlist("if-none-match")
    if not offered:
        return False
    if offered == [etag]:
        return True
    tags = ", ".join(offered)
    return tags.strip() == "*" or etag in ENTITY_TAG.findall(tags)
