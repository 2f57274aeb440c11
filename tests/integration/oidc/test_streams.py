"""Live streams of callers with a JWT."""

import time

import pytest

from application.access.callers import Callers
from application.access.oidc_permissions import PermissionsClaim
from infrastructure.identity.oidc.issuer import Issuer
from infrastructure.identity.oidc.requests import transport
from infrastructure.identity.oidc.verifier import OidcVerifier
from tests.support.doubles.credentials import InMemoryCredentials
from tests.support.http.preset_tokens import PresetTokens
from tests.support.http.streaming import (
    StreamingDirectory,
    closed,
    events,
    frame,
    served,
    streaming,
)
from tests.support.oidc.issuer import AUDIENCE, TestIssuer


@pytest.mark.long
async def test_a_stream_ends_when_its_jwt_expires(issuer: TestIssuer) -> None:
    groups = PermissionsClaim.parse("groups")
    async with Issuer.open(issuer.url, transport()) as trusted:
        nobody = InMemoryCredentials("token")
        callers = Callers(
            fixed=PresetTokens(),
            tokens=nobody,
            sessions=nobody,
            jwts=OidcVerifier(trusted, AUDIENCE, groups),
        )
        directory = StreamingDirectory(services={"callers": callers})
        async with served(directory.app) as url:
            soon = int(time.time()) + 3
            token = issuer.token(exp=soon, groups=["reader"])
            async with streaming(url, token=token, after=None) as stream:
                assert (await frame(stream))["kind"] == "ready"
                await directory.register()
                assert [event["type"] for event in await events(stream, 1)] == ["user.registered"]
                assert (await closed(stream, seconds=8))[0] == 4401
                assert time.time() >= soon
            async with streaming(url, token=issuer.token(groups=["audit:read"])) as stream:
                assert (await closed(stream))[0] == 4403
