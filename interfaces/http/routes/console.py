"""The plain console: a page that signs a person in and shows the sessions, and the way to it."""

from typing import Final

import msgspec
from fastapi import FastAPI, Request, Response

from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.negotiation import names_html
from interfaces.http.routes.docs import asset
from interfaces.http.routes.signin import CONSOLE

_OWN: Final = "interfaces.http.pages"
_FILES: Final = {
    CONSOLE: ("console.html", "text/html"),
    f"{CONSOLE}console.js": ("console.js", "text/javascript"),
    f"{CONSOLE}console.css": ("console.css", "text/css"),
}
# Nothing but its own files and this Rollbook's answers; `data:` is the empty icon.
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
}
_LINKS: Final = {
    "console": CONSOLE,
    "docs": "/docs",
    "openapi": "/openapi.json",
    "me": "/v1/me",
    "users": "/v1/users",
    "events": "/v1/events",
    "audit": "/v1/audit",
    "health": "/health/ready",
}


def add_console(app: FastAPI) -> None:
    """Route the page, its files, and the addresses that lead to it."""
    for path, (name, media_type) in _FILES.items():
        app.add_api_route(path, asset(_OWN, name, media_type, _HEADERS), include_in_schema=False)
    app.add_api_route(CONSOLE.rstrip("/"), _to_console, include_in_schema=False)
    app.add_api_route("/", _read_root, include_in_schema=False)


async def _to_console(_: Request) -> Response:
    return Response(status_code=307, headers={"Location": CONSOLE})


async def _read_root(request: Request) -> Response:
    """A browser is sent to the console; other clients get links to the rest."""
    headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
    if names_html(request):
        return Response(status_code=307, headers={**headers, "Location": CONSOLE})
    return Response(msgspec.json.encode(_LINKS), headers=headers, media_type=JSON)
