"""Every operation with real tokens and sessions over Postgres: admitted as the contract says."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from httpx2 import AsyncClient

from application.identity import PRESETS, Permission, Principal
from domain.token.secret import secret_of
from interfaces.http.app import OPERATIONS
from tests.support.access.callers import Caller, bearer, cookie
from tests.support.access.contract import CONTRACT
from tests.support.access.requests import key_of, refusal_of, request_of
from tests.support.http.in_process import ADMIN_TOKEN, in_process

Headers = Mapping[str, str]
# The client is on this machine, where metrics are open; readiness is that of the servers; and a sign-out
# would end the sessions.
UNCHECKED: Final = ("read_metrics", "read_readiness", "sign_out")
CHECKED: Final = [operation for operation in OPERATIONS if operation.name not in UNCHECKED]
ADMIN: Final = bearer(ADMIN_TOKEN)
EXPIRES_SECONDS: Final = 2


async def new_token(client: AsyncClient, name: str, **asked: Any) -> tuple[str, str]:
    """The id and the secret of a new token."""
    answer = await client.post("/v1/tokens", json={"name": name, **asked}, headers=ADMIN)
    body = answer.raise_for_status().json()
    return body["id"], body["token"]


async def new_session(client: AsyncClient, secret: str) -> Headers:
    """What a browser sends that has signed in with a token."""
    answer = await client.post("/auth/signin", json={"token": secret})
    value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    client.cookies.clear()
    return cookie(value)


async def real_callers(client: AsyncClient) -> list[Caller]:
    """Tokens and sessions of each preset, and what names no caller any more or never did."""
    callers = list[Caller]()

    def known(name: str, headers: Headers, permissions: frozenset[Permission], kind: Any) -> None:
        principal = Principal(actor="token:x", permissions=permissions, kind=kind)
        callers.append(Caller(name, headers, principal))

    soon = datetime.now(UTC) + timedelta(seconds=EXPIRES_SECONDS)
    _, expired = await new_token(client, "expired", preset="admin", expires_at=soon.isoformat())
    for preset, permissions in PRESETS.items():
        _, secret = await new_token(client, preset, preset=preset)
        known(f"token {preset}", bearer(secret), permissions, "token")
        known(f"session {preset}", await new_session(client, secret), permissions, "session")
    _, events = await new_token(client, "events", permissions=["events:read"])
    known("token of one permission", bearer(events), frozenset({"events:read"}), "token")
    revoked_id, revoked = await new_token(client, "revoked", preset="admin")
    of_revoked = await new_session(client, revoked)
    rotated_id, former = await new_token(client, "rotated", preset="admin")
    signed_out = await new_session(client, former)
    assert (await client.get("/v1/me", headers=bearer(revoked))).status_code == 200
    (await client.delete(f"/v1/tokens/{revoked_id}", headers=ADMIN)).raise_for_status()
    (await client.post("/auth/signout", headers=signed_out)).raise_for_status()
    rotation = await client.post(f"/v1/tokens/{rotated_id}/rotate", json={}, headers=ADMIN)
    rotated = rotation.json()["token"]
    known("the new secret of a token", bearer(rotated), PRESETS["admin"], "token")
    unknown: Mapping[str, Headers] = {
        "no token": {},
        "a secret that nobody has": bearer(secret_of(os.urandom(32))),
        "a secret with a typing error": bearer(rotated[:-1] + ("0" if rotated[-1] != "0" else "1")),
        "a secret without its end": bearer(rotated[:-1]),
        "a text that is no secret": bearer("t\u00f6ken"),
        "a revoked token": bearer(revoked),
        "the session of a revoked token": of_revoked,
        "the former secret of a token": bearer(former),
        "an expired token": bearer(expired),
        "a session that was ended": signed_out,
        "a secret as a cookie": cookie(rotated),
    }
    callers += [Caller(name, headers, None) for name, headers in unknown.items()]
    ended = [caller for caller in callers if caller.principal is None]
    async with asyncio.timeout(EXPIRES_SECONDS + 5):
        while [each.name for each in ended if await is_known(client, each)]:
            await asyncio.sleep(0.1)
    return callers


async def is_known(client: AsyncClient, caller: Caller) -> bool:
    return (await client.get("/v1/me", headers=sent_by(caller))).status_code != 401


def sent_by(caller: Caller) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in caller.headers.items()]


async def test_real_tokens_and_sessions_are_admitted_as_the_contract_says(
    database_url: str,
) -> None:
    """A caller that has ended is refused within 5 seconds, and from then on by every operation."""
    async with in_process(database_url, rate_limit=0) as client:
        del client.headers["Authorization"]
        callers = await real_callers(client)
        for operation in CHECKED:
            for caller in callers:
                answer = await client.request(**request_of(operation), headers=sent_by(caller))
                expected = CONTRACT[key_of(operation)].refusal(caller.principal)
                assert refusal_of(answer) == expected, (operation.name, caller.name, answer.text)
                assert answer.status_code < 500, (operation.name, caller.name, answer.text)
