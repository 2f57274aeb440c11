"""The cookie of a session: how a browser gets it and loses it, and where it may come from."""

from typing import Final, Literal
from urllib.parse import urlsplit

from fastapi import Request

from interfaces.http.protocol.headers import header
from interfaces.http.protocol.hosts import host_of, is_own_machine
from interfaces.http.protocol.refusals import CrossSite
from interfaces.presented import SESSION_COOKIE

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# `none`: a person typed the address, or opened a bookmark.
_OWN_SITE: Final = frozenset({"same-origin", "none"})


def session_cookie(request: Request, secret: str, seconds: int) -> str:
    """The value of `Set-Cookie` for a session."""
    return cookie(request, SESSION_COOKIE, secret, seconds)


def removed_cookie(request: Request) -> str:
    """The value of `Set-Cookie` that removes the cookie."""
    return cookie(request, SESSION_COOKIE, "", 0)


def cookie(
    request: Request,
    name: str,
    value: str,
    seconds: int,
    *,
    path: str = "/",
    same_site: Literal["Strict", "Lax"] = "Strict",
) -> str:
    """The value of `Set-Cookie`.

    Scripts cannot read it, and with `Strict` no other site can make a browser send it. Only on the
    own machine does it travel without TLS.
    """
    secure = "" if is_own_machine(host_of(request)) else "; Secure"
    return f"{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"


def refuse_cross_site(request: Request, public_url: str | None) -> None:
    """Raises `CrossSite` if a browser sends this for a page of another site.

    Browsers say so in `Sec-Fetch-Site`; older ones only name the page's origin. A request with
    neither is from a program, which no page can make send a person's cookie.
    """
    site = header(request, "Sec-Fetch-Site")
    if site is not None:
        if site not in _OWN_SITE:
            raise CrossSite
        return
    origin = header(request, "Origin")
    if origin is None:
        return
    own = {(header(request, "Host") or "").lower()}
    if public_url is not None:
        own.add(urlsplit(public_url).netloc.lower())
    if _place(origin) not in own:
        raise CrossSite


def _place(origin: str) -> str | None:
    """Host and port of an origin; None for `null` and for what is no origin."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None
