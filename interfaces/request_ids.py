"""The id of a request or WebSocket, as the outermost middleware leaves it in the ASGI scope."""

from collections.abc import Mapping
from typing import Any, Final

REQUEST_ID: Final = "rollbook.request_id"


def request_id_in(scope: Mapping[str, Any]) -> str:
    """What the client sent in `X-Request-ID`, or a new id."""
    return scope[REQUEST_ID]
