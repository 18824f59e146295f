"""/docs: Swagger UI from files of our own: it works without the internet and under a strict policy."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from app.kit.document import Document
from app.settings import Settings

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/assets/favicon.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="stylesheet" href="docs/style.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  validatorUrl: null,
});
"""
STYLE = (files("app.kit") / "docs.css").read_text(encoding="utf-8")
# Swagger UI sets style attributes and shows small pictures from data: URLs; it needs no inline script.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI, settings: Settings, on_offer: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
    """Add the page, its files and the OpenAPI document.

    Args:
        app: whose operations are documented.
        settings: of the application.
        on_offer: ids that examples can use, by the names in `examples.ON_OFFER`.
    """
    document = Document(app, settings)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE.format(title=app.title), headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        await asyncio.to_thread(document.build)  # the first time it takes as long as hundreds of requests
        return Response(document.text(await on_offer()), media_type="application/json")

    @app.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return Response(STYLE, media_type="text/css")

    app.mount("/docs/assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))
    app.openapi = lambda: _printed(document)  # type: ignore[method-assign]


def _printed(document: Document) -> dict[str, Any]:
    """The document outside a running application."""
    printed: dict[str, Any] = json.loads(document.text({}))
    return printed
