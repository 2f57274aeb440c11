"""Requests of pages in browsers: CORS for allowed origins, and the `Origin` of WebSockets."""

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

HeaderPairs = Sequence[tuple[bytes, bytes]]

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS: Final = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    b"Rollbook-Min-Position, Rollbook-On-Behalf-Of, X-Request-ID"
)
_ANSWER_HEADERS: Final = (
    b"Allow, Content-Disposition, ETag, Idempotency-Replayed, Location, RateLimit, "
    b"RateLimit-Policy, Retry-After, Rollbook-Position, Rollbook-Version, WWW-Authenticate, "
    b"X-Request-ID"
)
# Browsers keep the answer to a preflight for two hours at most.
_MAX_AGE: Final = b"7200"
_VARY: Final = (b"vary", b"Origin")
_VARY_PREFLIGHT: Final = (
    b"vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
)


class Origins:
    """The origins of pages that may call this server from a browser: exact ones, such as
    `https://app.example.org`.

    A page sends its token in a header. Cookies are not for other origins: they are SameSite=Strict.
    """

    def __init__(self, allowed: Collection[str] = (), public_url: str | None = None) -> None:
        self._allowed = frozenset(origin.encode() for origin in allowed)
        self._public = _origin_of(public_url).encode() if public_url else None

    def answer_headers(self, scope: Scope) -> HeaderPairs:
        """What every answer needs, so that the page may read it."""
        if not self._allowed:
            return ()
        origin = _header(scope, b"origin")
        if origin not in self._allowed:
            return (_VARY,)
        return (
            _VARY,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _ANSWER_HEADERS),
        )

    def preflight(self, scope: Scope) -> tuple[int, HeaderPairs] | None:
        """The status and headers of the answer if a browser asks what the page may send.

        The browser reads no body. An origin that is not allowed gets 403.
        """
        if not self._allowed or scope["method"] != "OPTIONS":
            return None
        origin = _header(scope, b"origin")
        if origin is None or _header(scope, b"access-control-request-method") is None:
            return None
        if origin not in self._allowed:
            return 403, (_VARY_PREFLIGHT,)
        return 204, (
            _VARY_PREFLIGHT,
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", _MAX_AGE),
        )

    def may_open(self, scope: Scope) -> bool:
        """Whether a WebSocket may be opened: by a page of this server or of an allowed origin.

        Browsers open WebSockets from any page. Other clients send no `Origin`. Of this server's own
        origin, only the host is compared: behind a proxy that is not trusted, the scheme differs.
        """
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if not origins:
            return True
        if len(origins) > 1:
            return False
        scheme, _, host = origins[0].partition(b"://")
        is_own = scheme in (b"http", b"https") and host.lower() == _host(scope)
        return is_own or origins[0] in self._allowed or origins[0] == self._public


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _host(scope: Scope) -> bytes | None:
    host = _header(scope, b"host")
    return host and host.lower()


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)
