"""The HTTP application over a directory in memory that trusts an issuer."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic, time

from application.access.oidc_permissions import PermissionsClaim
from infrastructure.identity.oidc.code_exchange import CodeExchange
from infrastructure.identity.oidc.issuer import Issuer
from infrastructure.identity.oidc.login import CodeFlow
from infrastructure.identity.oidc.requests import SECONDS, transport
from infrastructure.identity.oidc.verifier import OidcVerifier
from infrastructure.keys import AesTokenSealer
from tests.support.http.directory import Directory
from tests.support.oidc.issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, TestIssuer


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def trusting(
    issuer: TestIssuer,
    permissions: str | None = "groups",
    *,
    audience: str = AUDIENCE,
    clock: Callable[[], float] = monotonic,
    seconds: float = SECONDS,
    client_id: str | None = CLIENT_ID,
    client_secret: str | None = CLIENT_SECRET,
    now_of_logins: Callable[[], float] = time,
) -> AsyncGenerator[Directory]:
    """Its presets stay tokens; `clock` and `seconds` are those of the issuer."""
    claim = PermissionsClaim.parse(permissions) if permissions else None
    async with Issuer.open(issuer.url, transport(), clock, seconds) as trusted:
        jwts, login = OidcVerifier(trusted, audience, claim), None
        if client_id is not None:
            exchange = CodeExchange(client_id, client_secret, permissions, transport())
            sealer = AesTokenSealer(os.urandom(32), "oidc-login")
            login = CodeFlow(trusted, exchange, sealer, claim, now_of_logins)
        yield Directory(jwts=jwts, oidc=login)


async def status(directory: Directory, token: str) -> int:
    """What a caller with this token is answered."""
    async with directory.as_(token) as client:
        return (await client.get("/v1/me")).status_code
