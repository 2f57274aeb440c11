"""The issuer's description of itself (OpenID Connect Discovery 1.0)."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from application.access.oidc import is_safe_address
from infrastructure.identity.oidc.requests import IssuerFault

_PATH: Final = "/.well-known/openid-configuration"


class Metadata(Struct, frozen=True, kw_only=True):
    """What is read of it; the two endpoints are needed by the code flow only."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    token_endpoint_auth_methods_supported: Sequence[str] = ("client_secret_basic",)
    scopes_supported: Sequence[str] = ()
    authorization_response_iss_parameter_supported: bool = False

    @property
    def has_code_flow(self) -> bool:
        return is_safe_address(self.authorization_endpoint) and is_safe_address(self.token_endpoint)


def discovery_url(issuer: str) -> str:
    return issuer.rstrip("/") + _PATH


def parse_metadata(document: bytes, issuer: str) -> Metadata:
    """Raises `IssuerFault`, also if it describes another issuer (section 4.3)."""
    try:
        metadata = msgspec.json.decode(document, type=Metadata)
    except (ValueError, RecursionError):
        raise IssuerFault("its discovery document is malformed") from None
    if metadata.issuer != issuer:
        raise IssuerFault("its discovery document names another issuer than ROLLBOOK_OIDC_ISSUER")
    return metadata
