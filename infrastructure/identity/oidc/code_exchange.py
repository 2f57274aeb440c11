"""The two steps of the code flow as authlib's client takes them: the address, and the exchange."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, cast
from urllib.parse import quote

import httpx2
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from msgspec import Struct

from application.access.oidc import IssuerUnavailable, LoginRefused
from infrastructure.identity.oidc.metadata import Metadata
from infrastructure.identity.oidc.requests import HEADERS, SECONDS, IssuerFault, Transport

_SCOPES: Final = ("openid", "profile")
# RFC 6749, section 5.2.
_REFUSALS: Final = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)

log = structlog.stdlib.get_logger(__name__)


class _Credentials(Protocol):
    client_id: str
    client_secret: str


_AuthMethod = Callable[
    [_Credentials, str, str, dict[str, str], str], tuple[str, dict[str, str], str]
]


class _OAuth2Client(Protocol):
    """What is called of authlib's client, which declares no types."""

    def create_authorization_url(
        self, url: str, *, state: str, code_verifier: str, nonce: str
    ) -> tuple[str, str]: ...

    async def fetch_token(
        self, url: str, *, grant_type: str, code: str, code_verifier: str
    ) -> Mapping[str, object]: ...

    async def aclose(self) -> None: ...


class Attempt(Struct, frozen=True):
    """One sign-in between its two requests: the browser holds it, sealed.

    `until` is in seconds since the epoch; `former` is the session that the browser had before.
    """

    state: str
    nonce: str
    code_verifier: str
    redirect_uri: str
    until: float
    former: str | None = None


class CodeExchange:
    """`scope` is asked for, besides the standard ones, if the issuer knows it."""

    def __init__(
        self, client_id: str, client_secret: str | None, scope: str | None, transport: Transport
    ) -> None:
        self.client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._transport = transport

    async def address(self, metadata: Metadata, attempt: Attempt) -> str:
        """Where the browser goes."""
        async with self._client(metadata, attempt) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=attempt.state,
                code_verifier=attempt.code_verifier,
                nonce=attempt.nonce,
            )
            return url

    async def id_token(self, metadata: Metadata, attempt: Attempt, code: str) -> str:
        """The ID token for the code. Raises `LoginRefused` and `IssuerUnavailable`."""
        try:
            async with asyncio.timeout(SECONDS), self._client(metadata, attempt) as client:
                tokens = await client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.code_verifier,
                )
        except AuthlibBaseError as error:
            # The issuer may send any text; only what the standard names is repeated.
            reason = error.error if error.error in _REFUSALS else None
            log.warning("oidc_code_refused", reason=reason)
            raise LoginRefused from error
        except (httpx2.HTTPError, IssuerFault, TimeoutError) as error:
            raise IssuerUnavailable from error
        except (ValueError, TypeError, OverflowError) as error:
            # The client's answer to anything but a JSON object with the members of RFC 6749.
            raise IssuerUnavailable from error
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise LoginRefused
        return id_token

    @asynccontextmanager
    async def _client(self, metadata: Metadata, attempt: Attempt) -> AsyncGenerator[_OAuth2Client]:
        client = cast(
            "_OAuth2Client",
            AsyncOAuth2Client(
                client_id=self.client_id,
                client_secret=self._client_secret,
                token_endpoint_auth_method=self._method(metadata),
                redirect_uri=attempt.redirect_uri,
                scope=" ".join(self._scopes(metadata)),
                code_challenge_method="S256",
                transport=self._transport(),
                timeout=SECONDS,
                headers=HEADERS,
                trust_env=False,
            ),
        )
        try:
            yield client
        finally:
            await client.aclose()

    def _method(self, metadata: Metadata) -> str | _AuthMethod:
        """How the client proves itself; the default is the standard's."""
        if self._client_secret is None:
            return "none"
        known = metadata.token_endpoint_auth_methods_supported
        only_post = "client_secret_post" in known and "client_secret_basic" not in known
        return "client_secret_post" if only_post else _client_secret_basic

    def _scopes(self, metadata: Metadata) -> Sequence[str]:
        if self._scope is None or self._scope not in metadata.scopes_supported:
            return _SCOPES
        return list(dict.fromkeys((*_SCOPES, self._scope)))


def _client_secret_basic(
    client: _Credentials, method: str, uri: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    """As RFC 6749, section 2.3.1, wants it: authlib's own sends a colon or a percent sign as it is."""
    pair = ":".join(quote(each, safe="") for each in (client.client_id, client.client_secret))
    headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return uri, headers, body
