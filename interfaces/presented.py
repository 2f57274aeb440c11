"""What a request presents to name its caller: a bearer token, else the cookie of a session."""

from collections.abc import Iterable, MutableMapping
from typing import Any, Final

from application.access.ports import Presented

SESSION_COOKIE: Final = "rollbook_session"

_READ: Final = "rollbook.presented"
_COOKIE: Final = f"{SESSION_COOKIE}=".encode()


def presented_in(scope: MutableMapping[str, Any]) -> Presented | None:
    """The token or cookie of a request; None if there is none, or it is malformed.

    A request with an `Authorization` header is judged by that alone. It is read once per request.
    """
    if _READ not in scope:
        scope[_READ] = _presented(scope["headers"])
    return scope[_READ]


def session_cookie_in(scope: MutableMapping[str, Any]) -> str | None:
    """The secret in the cookie, also of a request with an `Authorization` header."""
    cookies = (value for name, value in scope["headers"] if name == b"cookie")
    return next(filter(None, map(_session, cookies)), None)


def _presented(headers: Iterable[tuple[bytes, bytes]]) -> Presented | None:
    authorization, session = list[bytes](), None
    for name, value in headers:
        if name == b"authorization":
            authorization.append(value)
        elif name == b"cookie" and session is None:
            session = _session(value)
    if authorization:
        scheme, _, token = b", ".join(authorization).decode("latin-1").partition(" ")
        token = token.strip()
        return Presented("bearer", token) if scheme.lower() == "bearer" and token else None
    return Presented("session", session) if session else None


def _session(cookies: bytes) -> str | None:
    for pair in map(bytes.strip, cookies.split(b";")):
        if pair.startswith(_COOKIE):
            return pair[len(_COOKIE) :].decode("latin-1")
    return None
