"""The public keys of an issuer (RFC 7517), and which of them may have made a signature."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Struct

from infrastructure.identity.oidc.requests import IssuerFault

PublicKey = RSAKey | ECKey | OKPKey

# Signatures by private keys only: with a shared secret, a party that checks could also sign.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)

_MAX_KEYS: Final = 100
# Of a modulus in base64: 2,048 bits, as RFC 7518 demands, to 8,192, which still takes little time.
_MODULUS_LENGTH: Final = range(342, 1366 + 1)
_KINDS: Final = ("RSA", "EC", "OKP")
_ONLY_FOR_EXCHANGE: Final = ("X25519", "X448")


class Algorithms(JWSRegistry):
    """Knows `ALGORITHMS` and nothing else, and ignores unknown headers, as RFC 7515 demands."""

    max_header_length = 4096
    max_signature_length = 2048

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS, strict_check_header=False)

    def get_alg(self, name: str) -> JWSAlgModel:
        """Without the library's warning that `EdDSA` has a newer name, which issuers rarely use."""
        return self.algorithms[name] if name in ALGORITHMS else super().get_alg(name)


REGISTRY: Final = Algorithms()


class _KeySet(Struct):
    keys: list[dict[str, Any]]


def parse_keys(document: bytes) -> Sequence[PublicKey]:
    """The keys of a JWK set that can check a signature of `ALGORITHMS`; others are left out.

    Raises `IssuerFault` if it is no JWK set.
    """
    try:
        found = msgspec.json.decode(document, type=_KeySet).keys
    except (ValueError, RecursionError):
        raise IssuerFault("what should be its keys is not a JWK set") from None
    if len(found) > _MAX_KEYS:
        raise IssuerFault(f"it has more than {_MAX_KEYS} keys")
    parsed = (_parsed(each) for each in found)
    return [key for key in parsed if key is not None]


def fitting(keys: Sequence[PublicKey], algorithm: str, key_id: str | None) -> Sequence[PublicKey]:
    """The keys that may have made a signature with this algorithm and this key id, if it has one."""
    return [key for key in keys if key_id in (None, key.get("kid")) and _is_for(key, algorithm)]


def _is_for(key: PublicKey, algorithm: str) -> bool:
    try:
        REGISTRY.get_alg(algorithm).check_key(key)
    except JoseError:
        return False
    return True


def _parsed(data: Mapping[str, Any]) -> PublicKey | None:
    """None for a key that is not known here, or broken: the others still count."""
    if data.get("kty") not in _KINDS or data.get("crv") in _ONLY_FOR_EXCHANGE:
        return None
    if data["kty"] == "RSA" and len(str(data.get("n"))) not in _MODULUS_LENGTH:
        return None
    try:
        key = JWKRegistry.import_key(dict(data))
    except (JoseError, ValueError, TypeError, LookupError):
        return None
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        return None
    return key if any(_is_for(key, each) for each in ALGORITHMS) else None
