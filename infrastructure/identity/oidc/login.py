"""Signing in through the issuer: the authorization code flow with PKCE (RFC 7636)."""

import hmac
import secrets
from collections.abc import Callable
from time import time

import msgspec
import structlog

from application.access.oidc import (
    LOGIN_SECONDS,
    BegunLogin,
    FinishedLogin,
    IssuerUnavailable,
    LoginAnswer,
    LoginNotBegun,
    LoginRefused,
)
from application.access.oidc_permissions import PermissionsClaim
from application.cursors import TokenSealer
from application.failures import describe
from application.identity import Principal
from application.keys.ports import SealBroken
from infrastructure.identity.oidc.code_exchange import Attempt, CodeExchange
from infrastructure.identity.oidc.issuer import Issuer
from infrastructure.identity.oidc.metadata import Metadata
from infrastructure.identity.oidc.people import principal_of
from infrastructure.identity.oidc.signed import MAX_ID_TOKEN_LENGTH, Terms, read

log = structlog.stdlib.get_logger(__name__)


class CodeFlow:
    """See `OidcLogin`."""

    def __init__(
        self,
        issuer: Issuer,
        exchange: CodeExchange,
        sealer: TokenSealer,
        permissions: PermissionsClaim | None,
        now: Callable[[], float] = time,
    ) -> None:
        self._issuer = issuer
        self._exchange = exchange
        self._sealer = sealer
        self._permissions = permissions
        self._now = now

    async def begin(self, redirect_uri: str, former: str | None) -> BegunLogin:
        metadata = await self._metadata()
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(48),
            redirect_uri=redirect_uri,
            until=self._now() + LOGIN_SECONDS,
            former=former,
        )
        url = await self._exchange.address(metadata, attempt)
        return BegunLogin(url, self._sealer.seal(msgspec.json.encode(attempt)))

    async def finish(self, attempt: str, answer: LoginAnswer) -> FinishedLogin:
        begun = self._opened(attempt)
        if not hmac.compare_digest(begun.state.encode(), answer.state.encode(errors="replace")):
            raise LoginNotBegun
        try:
            return FinishedLogin(await self._finished(begun, answer), begun.former)
        except (LoginRefused, IssuerUnavailable) as error:
            cause = error.__cause__
            log.warning("oidc_login_failed", error=describe(error), cause=cause and describe(cause))
            raise

    async def _finished(self, attempt: Attempt, answer: LoginAnswer) -> Principal:
        metadata = await self._metadata()
        is_named = metadata.authorization_response_iss_parameter_supported
        if answer.issuer != self._issuer.url and (is_named or answer.issuer is not None):
            raise LoginRefused
        if answer.code is None:
            raise LoginRefused
        id_token = await self._exchange.id_token(metadata, attempt, answer.code)
        signed = read(id_token, MAX_ID_TOKEN_LENGTH)
        terms = Terms(self._issuer.url, self._exchange.client_id, self._now, attempt.nonce)
        if signed is None or not terms.are_met_by(signed.claims):
            raise LoginRefused
        key = await self._issuer.key(signed.algorithm, signed.key_id)
        if key is None or not signed.is_signed_by(key):
            raise LoginRefused
        principal = principal_of(signed.claims, self._permissions)
        if principal is None:
            raise LoginRefused
        return principal

    async def _metadata(self) -> Metadata:
        metadata = await self._issuer.metadata()
        if not metadata.has_code_flow:
            raise IssuerUnavailable
        return metadata

    def _opened(self, sealed: str) -> Attempt:
        try:
            attempt = msgspec.json.decode(self._sealer.open(sealed), type=Attempt)
        except SealBroken:
            raise LoginNotBegun from None
        if attempt.until < self._now():
            raise LoginNotBegun
        return attempt
