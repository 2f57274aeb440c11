"""What all answers have in common, for every route and error."""

import re
import traceback
from asyncio import CancelledError
from collections.abc import Callable
from time import monotonic
from typing import Final
from urllib.parse import unquote
from uuid import UUID

import structlog
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.metrics.telemetry import Telemetry
from interfaces.http.endpoint.auth import caller_in
from interfaces.http.endpoint.errors import problem
from interfaces.http.protocol.headers import is_visible_ascii
from interfaces.http.protocol.origins import Origins
from interfaces.request_ids import REQUEST_ID, request_id_in

_log = structlog.stdlib.get_logger(__name__)

_REQUEST_ID_LIMIT: Final = 128
_IS_HEAD: Final = "rollbook.is_head"
_FRAMES: Final = 12
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"
_REFUSED: Final = frozenset({401, 403, 409, 412, 429})
_HANDSHAKE_ANSWERS: Final = ("websocket.accept", "websocket.http.response.start")
_SLASH: Final = re.compile(rb"%(2[fF])")
_INTERNAL: Final = problem("internal", "The server could not answer; its log says why.")
_UNANSWERED: Final = problem("unavailable", "The server stopped before it could answer.")
_UNKNOWN: Final = problem("outcome-unknown", "The server stopped before it could answer.")

_SECURITY: Final = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
# Over http a browser ignores it, and a client on the same machine must not get it by accident.
_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_API: Final = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization"),
)


def request_id_of(request: Request) -> str:
    return request_id_in(request.scope)


def is_head(request: Request) -> bool:
    """Whether the client reads no body, for answers that take long to write."""
    return request.scope[_IS_HEAD]


def common_headers(version: str) -> dict[bytes, bytes]:
    """The headers of every answer, besides the request id."""
    return {**_SECURITY, b"rollbook-version": version.encode()}


class CommonRules:
    """Request ids, common headers, HEAD as GET without its body, and the answer to other errors.

    Each answer is counted when it begins. It is a pure ASGI middleware and the outermost, so that
    every answer passes it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        version: str,
        new_id: Callable[[], UUID],
        telemetry: Telemetry,
        origins: Origins,
    ) -> None:
        self._app = app
        self._new_id = new_id
        self._telemetry = telemetry
        self._origins = origins
        self._headers = common_headers(version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = _with_slashes_encoded(scope)
        if scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
            return
        began = monotonic()
        request_id = _sent_request_id(scope) or str(self._new_id())
        without_body = scope["method"] == "HEAD"
        method = "GET" if without_body else scope["method"]
        scope = {**scope, REQUEST_ID: request_id, _IS_HEAD: without_body, "method": method}
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._count(scope, message["status"], monotonic() - began)
                message["headers"] = self._complete(scope, request_id, message["headers"])
            elif without_body and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            return
        except CancelledError:
            # The server stops, and does not wait any longer.
            if not started:
                stopped = _UNANSWERED if method == "GET" else _UNKNOWN
                await stopped(scope, receive, answer)
            raise
        except Exception as error:
            _report(scope, request_id, error)
            # An answer that has begun cannot be replaced: the server closes the connection.
            if not started:
                await _INTERNAL(scope, receive, answer)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _sent_request_id(scope) or str(self._new_id())

        async def answer(message: Message) -> None:
            if message["type"] in _HANDSHAKE_ANSWERS:
                headers = self._complete(scope, request_id, list(message.get("headers", [])))
                message = {**message, "headers": headers}
            await send(message)

        await self._app({**scope, REQUEST_ID: request_id}, receive, answer)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Label by declared names only: a client's own are unlimited, and may be personal data."""
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        method = "HEAD" if scope[_IS_HEAD] else scope["method"]
        method = method if method in _METHODS else "other"
        self._telemetry.answered(method, route, status, seconds)
        if status in _REFUSED:
            self._telemetry.refused(route, status, caller_in(scope))

    def _complete(
        self, scope: Scope, request_id: str, headers: list[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """The headers of the route win over the common ones."""
        own = {name for name, _ in headers}
        common = [pair for pair in self._headers.items() if pair[0] not in own]
        if scope["path"].startswith("/v1/"):
            common.extend(_API)
        if scope["scheme"] in ("https", "wss"):
            common.append(_HTTPS)
        return [
            *headers,
            (b"x-request-id", request_id.encode()),
            *common,
            *self._origins.answer_headers(scope),
        ]


def _with_slashes_encoded(scope: Scope) -> Scope:
    """An encoded slash belongs to a segment of the path; decoded, it would separate two."""
    raw: bytes = scope.get("raw_path") or b""
    if not _SLASH.search(raw):
        return scope
    path = unquote(_SLASH.sub(rb"%25\1", raw).decode("ascii"))
    return {**scope, "path": path}


def _sent_request_id(scope: Scope) -> str | None:
    """The client's id; None for an invalid one, which is replaced, not refused."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if is_visible_ascii(text, _REQUEST_ID_LIMIT) else None
    return None


def _report(scope: Scope, request_id: str, error: Exception) -> None:
    """Log types and places only: a message or a value may be personal data."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    cause = error.__cause__ or error.__context__
    _log.error(
        "request_failed",
        request_id=request_id,
        method=scope["method"],
        route=getattr(scope.get("route"), "path", None),
        error=type(error).__qualname__,
        cause=type(cause).__qualname__ if cause else None,
        frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
