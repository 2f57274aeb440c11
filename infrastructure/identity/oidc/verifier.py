"""Bearer tokens that are JWTs of the issuer: each is checked once, and known until it expires."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from time import time
from typing import Final

from msgspec import Struct

from application.access.oidc_permissions import PermissionsClaim
from application.identity import Principal
from infrastructure.identity.oidc.issuer import Issuer
from infrastructure.identity.oidc.keys import PublicKey
from infrastructure.identity.oidc.people import principal_of
from infrastructure.identity.oidc.signed import Terms, looks_like_jwt, read

MAX_KNOWN: Final = 10_000


class _Verified(Struct, frozen=True):
    principal: Principal
    expires: float
    # Those of that time: once the issuer has changed its keys, the signature is checked again.
    keys: Sequence[PublicKey]


class OidcVerifier:
    """See `BearerVerifier`."""

    def __init__(
        self,
        issuer: Issuer,
        audience: str,
        permissions: PermissionsClaim | None,
        now: Callable[[], float] = time,
    ) -> None:
        self._issuer = issuer
        self._terms = Terms(issuer.url, audience, now)
        self._permissions = permissions
        self._now = now
        # By a digest, so that no token stays in memory.
        self._verified: dict[bytes, _Verified] = {}

    def known(self, token: str) -> Principal | None:
        if not looks_like_jwt(token):
            return None
        verified = self._verified.get(_digest(token))
        if verified is None or verified.expires <= self._now():
            return None
        return verified.principal if verified.keys is self._issuer.known_keys() else None

    async def principal(self, token: str) -> Principal | None:
        known = self.known(token)
        if known is not None:
            return known
        signed = read(token)
        # The terms first: the token of another issuer never leads to a request to this one.
        if signed is None or not self._terms.are_met_by(signed.claims):
            return None
        key = await self._issuer.key(signed.algorithm, signed.key_id)
        if key is None or not signed.is_signed_by(key):
            return None
        principal = principal_of(signed.claims, self._permissions)
        if principal is not None:
            self._keep(token, principal)
        return principal

    def _keep(self, token: str, principal: Principal) -> None:
        keys, expires_at = self._issuer.known_keys(), principal.expires_at
        if keys is None or expires_at is None:
            return
        if len(self._verified) >= MAX_KNOWN:
            del self._verified[next(iter(self._verified))]
        self._verified[_digest(token)] = _Verified(principal, expires_at.timestamp(), keys)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
