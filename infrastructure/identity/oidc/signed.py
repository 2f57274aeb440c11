"""A signed JWT (RFC 7519): its claims, which count once its signature and its terms are checked."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, extract_compact, validate_compact
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry
from joserfc.util import urlsafe_b64decode
from msgspec import UNSET, Struct, UnsetType

from infrastructure.identity.oidc.keys import ALGORITHMS, REGISTRY, PublicKey

# Of a bearer token. An ID token, which only the issuer sends, may have more claims.
MAX_LENGTH: Final = 8 * 1024
MAX_ID_TOKEN_LENGTH: Final = 64 * 1024
SKEW_SECONDS: Final = 30

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class _Header(Struct):
    """What is read of a header. Keys, or addresses of keys, in a token prove nothing: no look."""

    alg: str
    kid: str | None = None
    typ: str = "JWT"
    # Extensions that a reader must understand (RFC 7515, section 4.1.11); none is known here.
    crit: Any | UnsetType = UNSET
    b64: Any | UnsetType = UNSET


class SignedToken(Struct, frozen=True):
    """`claims` may be forged until `is_signed_by` has answered True."""

    algorithm: str
    key_id: str | None
    claims: Mapping[str, Any]
    signature: CompactSignature

    def is_signed_by(self, key: PublicKey) -> bool:
        try:
            return validate_compact(self.signature, key, registry=REGISTRY)
        except (JoseError, ValueError):
            return False


class Terms(Struct, frozen=True):
    """What the claims of a token must say. A `nonce` makes it an ID token."""

    issuer: str
    audience: str
    now: Callable[[], float]
    nonce: str | None = None

    def are_met_by(self, claims: Mapping[str, Any]) -> bool:
        options: dict[str, ClaimsOption] = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self.audience},
            "exp": {"essential": True},
            "sub": {"essential": True},
        }
        if self.nonce is not None:
            options["nonce"] = {"essential": True, "value": self.nonce}
            # The party that the token was issued to (OpenID Connect Core 1.0, section 3.1.3.7).
            options["azp"] = {"value": self.audience}
        registry = JWTClaimsRegistry(int(self.now()), SKEW_SECONDS, **options)
        try:
            registry.validate(dict(claims))
        except JoseError:
            return False
        return True


def looks_like_jwt(token: str, max_length: int = MAX_LENGTH) -> bool:
    """Whether it may be a JWT at all; costs nothing."""
    return token.startswith("eyJ") and len(token) <= max_length and token.count(".") == 2


def read(token: str, max_length: int = MAX_LENGTH) -> SignedToken | None:
    """Read a JWT without believing it; None if it is malformed or of a kind that is refused."""
    if not looks_like_jwt(token, max_length):
        return None
    try:
        encoded = token.encode("ascii")
        head = msgspec.json.decode(urlsafe_b64decode(encoded.partition(b".")[0]), type=_Header)
        if head.alg not in ALGORITHMS or head.typ.lower() not in _TYPES:
            return None
        if head.crit is not UNSET or head.b64 is not UNSET:
            return None
        signature = extract_compact(encoded, registry=REGISTRY)
        claims = msgspec.json.decode(signature.payload, type=dict[str, Any])
    except (JoseError, ValueError, RecursionError):
        return None
    return SignedToken(head.alg, head.kid, claims, signature)
