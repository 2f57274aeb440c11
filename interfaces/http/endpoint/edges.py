"""What browsers ask before they send a request, and WebSockets of foreign pages."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from interfaces.http.endpoint.errors import problem
from interfaces.http.protocol.origins import Origins

_FOREIGN: Final = problem("forbidden", "A page of this origin may open no WebSocket here.")


class Edges:
    """Answers preflights, and refuses WebSockets of origins that are not allowed."""

    def __init__(self, app: ASGIApp, *, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if not self._origins.may_open(scope):
                await _FOREIGN(scope, receive, send)
                return
        elif scope["type"] == "http":
            preflight = self._origins.preflight(scope)
            if preflight is not None:
                status, headers = preflight
                await send(
                    {"type": "http.response.start", "status": status, "headers": list(headers)}
                )
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)
