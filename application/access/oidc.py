"""Signing in through an OIDC issuer: the port of the code flow, and what can go wrong."""

from typing import Final, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from application.errors import ApplicationError, Unavailable
from application.identity import Principal

LOGIN_SECONDS: Final = 600

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class IssuerUnavailable(Unavailable):
    """The OIDC issuer cannot be reached or does not answer as it should; nothing was recorded."""


class LoginNotBegun(ApplicationError):
    """This browser has not begun this sign-in, or too long ago; begin again."""


class LoginRefused(ApplicationError):
    """The OIDC issuer did not confirm the sign-in; begin again."""


class BegunLogin(Struct, frozen=True):
    """The browser goes to `url`. It keeps `attempt`, which is sealed, for `LOGIN_SECONDS`."""

    url: str
    attempt: str


class FinishedLogin(Struct, frozen=True):
    """The person that signed in, and the secret of the session that the browser had before."""

    principal: Principal
    former: str | None


class LoginAnswer(Struct, frozen=True):
    """What the issuer sends back with the browser (RFC 6749, section 4.1.2, and RFC 9207).

    Without a `code` the issuer has refused the sign-in.
    """

    state: str
    code: str | None
    issuer: str | None


class OidcLogin(Protocol):
    """The authorization code flow with PKCE. Both raise `IssuerUnavailable`."""

    async def begin(self, redirect_uri: str, former: str | None) -> BegunLogin:
        """Begin a sign-in that ends at this address of Rollbook.

        `former` is the secret of the browser's session: the browser does not send that cookie with
        a request that another site leads to.
        """
        ...

    async def finish(self, attempt: str, answer: LoginAnswer) -> FinishedLogin:
        """Raises `LoginNotBegun` and `LoginRefused`."""
        ...


def is_safe_address(url: str) -> bool:
    """Whether an address of the issuer is https, or http on the same machine."""
    try:
        parts = urlsplit(url)
        is_server = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    on_loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    is_visible_ascii = all("!" <= character <= "~" for character in url)
    return is_server and is_visible_ascii and (parts.scheme == "https" or on_loopback)
