"""The pages for people: the description of the API and of each problem, served locally."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from fastapi import FastAPI, Request, Response

from interfaces.http.protocol.negotiation import compressible
from interfaces.http.protocol.problems import PROBLEMS, ProblemType, type_uri
from interfaces.http.protocol.refusals import NotFound

_OWN: Final = "interfaces.http.pages"
_SWAGGER: Final = "fastapi_swagger.resources"
_HTML: Final = "text/html"
_SCRIPT: Final = "text/javascript"

_ASSETS: Final[Mapping[str, tuple[str, str, str]]] = {
    "/docs": (_OWN, "docs.html", _HTML),
    "/docs/init.js": (_OWN, "init.js", _SCRIPT),
    "/docs/swagger-ui-bundle.js": (_SWAGGER, "swagger-ui-bundle.js", _SCRIPT),
    "/docs/swagger-ui.css": (_SWAGGER, "swagger-ui.css", "text/css"),
}
# Swagger UI styles its elements one by one, and draws icons from data: addresses.
_HEADERS: Final = {
    "Cache-Control": "public, max-age=3600",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


def add_pages(app: FastAPI, description: Callable[[], bytes]) -> None:
    """Route the pages; `description` makes the OpenAPI document."""

    async def read_description(request: Request) -> Response:
        headers = {"Cache-Control": "no-cache"}
        # It takes a tenth of a second to make, once.
        content = await asyncio.to_thread(description)
        return await compressible(request, content, headers, "application/json")

    app.add_api_route("/openapi.json", read_description, include_in_schema=False)
    app.add_api_route("/problems/{slug}", _read_problem, include_in_schema=False)
    for path, (package, name, media_type) in _ASSETS.items():
        route = asset(package, name, media_type, _HEADERS)
        app.add_api_route(path, route, include_in_schema=False)


def asset(
    package: str, name: str, media_type: str, headers: Mapping[str, str]
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a file that a package contains."""

    async def read_asset(request: Request) -> Response:
        return await compressible(request, _content(package, name), headers, media_type)

    return read_asset


async def _read_problem(request: Request) -> Response:
    kind = next((k for k in PROBLEMS.values() if k.slug == request.path_params["slug"]), None)
    if kind is None:
        raise NotFound
    return Response(_problem_page(kind), headers=_HEADERS, media_type=_HTML)


def _problem_page(kind: ProblemType) -> str:
    page = Template(_content(_OWN, "problem.html").decode())
    return page.substitute(
        slug=kind.slug,
        type=type_uri(kind.slug),
        status=kind.status,
        title=escape(kind.title),
        remedy=re.sub("`(.+?)`", r"<code>\1</code>", escape(kind.remedy)),
    )


@cache
def _content(package: str, name: str) -> bytes:
    return files(package).joinpath(name).read_bytes()
