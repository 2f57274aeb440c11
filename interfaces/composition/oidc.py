"""Builds what trusts the OIDC issuer of the settings, if there is one."""

from contextlib import AsyncExitStack
from typing import Final

from msgspec import Struct

from application.access.oidc import OidcLogin
from application.access.oidc_permissions import PermissionsClaim
from application.access.ports import BearerVerifier
from infrastructure.keys import AesTokenSealer
from interfaces.composition.shared import Parts
from interfaces.settings import Settings

_LOGIN_KEY: Final = b"\x00oidc logins\x00"


class Oidc(Struct, frozen=True):
    """Without a client id there is no sign-in through the issuer."""

    jwts: BearerVerifier | None = None
    login: OidcLogin | None = None


async def open_oidc(stack: AsyncExitStack, parts: Parts) -> Oidc:
    """Nothing is requested of the issuer before it is needed."""
    settings = parts.settings
    url, audience, claim = (
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_permissions_claim,
    )
    if url is None or audience is None:
        return Oidc()
    # The libraries take a quarter of a second, which only those that use them should wait.
    from infrastructure.identity.oidc.issuer import Issuer
    from infrastructure.identity.oidc.requests import transport
    from infrastructure.identity.oidc.verifier import OidcVerifier

    transports = transport()
    issuer = await stack.enter_async_context(Issuer.open(url, transports))
    permissions = PermissionsClaim.parse(claim) if claim else None
    jwts = OidcVerifier(issuer, audience, permissions)
    if settings.oidc_client_id is None:
        return Oidc(jwts)
    from infrastructure.identity.oidc.code_exchange import CodeExchange
    from infrastructure.identity.oidc.login import CodeFlow

    secret = settings.oidc_client_secret
    exchange = CodeExchange(
        settings.oidc_client_id,
        secret.get_secret_value() if secret else None,
        permissions.claim if permissions else None,
        transports,
    )
    sealer = AesTokenSealer(parts.store.keys.mac(_LOGIN_KEY), "oidc-login")
    return Oidc(jwts, CodeFlow(issuer, exchange, sealer, permissions))


async def examine_oidc(settings: Settings) -> list[str]:
    """What `rollbook doctor` says about the issuer; nothing if none is set."""
    if settings.oidc_issuer is None:
        return []
    from infrastructure.identity.oidc.issuer import FAILURES, load, reason_of
    from infrastructure.identity.oidc.requests import client, transport

    found: list[str] = []
    if settings.oidc_permissions_claim is None:
        found.append(
            "the users of the OIDC issuer have no permission: "
            "ROLLBOOK_OIDC_PERMISSIONS_CLAIM is not set"
        )
    try:
        async with client(transport()) as requests:
            published = await load(requests, settings.oidc_issuer)
    except FAILURES as error:
        return [*found, f"the OIDC issuer does not answer as it should: {reason_of(error)}"]
    if settings.oidc_client_id and not published.metadata.has_code_flow:
        found.append("nobody can sign in through the OIDC issuer: it does not offer the code flow")
    return [*found, f"the OIDC issuer answers; keys that can sign: {len(published.keys)}"]
