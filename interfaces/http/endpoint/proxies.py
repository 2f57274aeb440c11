"""Requests that come through trusted proxies, as the client sent them."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from interfaces.http.protocol.forwarded import Forwarded, Networks, forwarded

_REMEMBERED: Final = 4096


class TrustedProxies:
    """Takes the client's address, the scheme and the host from the headers of trusted proxies.

    The headers of everybody else say nothing. They stay in the request, so that it still counts as
    one through a proxy.
    """

    def __init__(self, app: ASGIApp, *, networks: Networks) -> None:
        self._app = app

        @lru_cache(_REMEMBERED)
        def is_trusted(host: str) -> bool:
            try:
                address = ip_address(host)
            except ValueError:
                return False
            mapped = address.ipv4_mapped if address.version == 6 else None
            return any((mapped or address) in network for network in networks)

        self._is_trusted = is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is not None and self._is_trusted(client[0]):
            scope = _as_sent(scope, forwarded(scope["headers"], self._is_trusted))
        await self._app(scope, receive, send)


def _as_sent(scope: Scope, said: Forwarded) -> Scope:
    scope = dict(scope)
    if said.client is not None:
        scope["client"] = (said.client, 0)
    if said.scheme is not None:
        is_secure = said.scheme == "https"
        schemes = ("ws", "wss") if scope["type"] == "websocket" else ("http", "https")
        scope["scheme"] = schemes[is_secure]
    if said.host is not None:
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        scope["headers"] = [(b"host", said.host.encode()), *others]
    return scope
