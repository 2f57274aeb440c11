"""Tokens as callers of two processes over one database: admitted, rotated and revoked in both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import ADA
from tests.support.http.in_process import in_process

TOKENS = "/v1/tokens"


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[list[AsyncClient]]:
    """The clients of two, as an administrator."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(in_process(database_url, frozenset({"api"})))
            for _ in range(2)
        ]


async def create(client: AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post(TOKENS, json={"name": "crm", "preset": "writer", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def status(client: AsyncClient, secret: str, path: str = "/v1/events") -> int:
    return (await client.get(path, headers=bearer(secret))).status_code


async def status_of_session(client: AsyncClient, session: str) -> int:
    request = client.build_request(
        "GET", "/v1/me", headers={"Cookie": f"rollbook_session={session}"}
    )
    del request.headers["Authorization"]
    return (await client.send(request)).status_code


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_a_token_of_one_process_is_admitted_by_another_and_its_actor_is_recorded(
    processes: list[AsyncClient],
) -> None:
    one, other = processes
    token = await create(one)
    registered = await other.post("/v1/users", json=ADA, headers=bearer(token["token"]))
    assert registered.status_code == 201
    (event,) = (await one.get("/v1/events")).json()["items"]
    assert event["actor"] == f"token:{token['id']}"
    me = (await other.get("/v1/me", headers=bearer(token["token"]))).json()
    assert (me["actor"], me["name"]) == (f"token:{token['id']}", "crm")
    refused = await other.get(TOKENS, headers=bearer(token["token"]))
    assert (refused.status_code, refused.json()["permission"]) == (403, "admin")


async def test_a_revoked_token_and_its_session_are_refused_by_every_process_within_5_seconds(
    processes: list[AsyncClient],
) -> None:
    one, other = processes
    token = await create(one)
    signed_in = await other.post("/auth/signin", json={"token": token["token"]})
    session = signed_in.cookies["rollbook_session"]
    for client in processes:
        assert await status(client, token["token"]) == 200
        assert await status_of_session(client, session) == 200
    assert (await one.delete(f"{TOKENS}/{token['id']}")).status_code == 204
    async with asyncio.timeout(5):
        while 200 in [await status(client, token["token"]) for client in processes]:
            await asyncio.sleep(0.05)
        while 200 in [await status_of_session(client, session) for client in processes]:
            await asyncio.sleep(0.05)
    answer = await other.get("/v1/me", headers=bearer(token["token"]))
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


async def test_a_rotation_with_overlap_interrupts_no_caller(processes: list[AsyncClient]) -> None:
    one, other = processes
    token = await create(one)
    assert await status(other, token["token"]) == 200
    path = f"{TOKENS}/{token['id']}/rotate"
    rotated = (await one.post(path, json={"overlap_seconds": 2})).json()
    for client in processes:
        assert await status(client, token["token"]) == 200
        assert await status(client, rotated["token"]) == 200
    async with asyncio.timeout(7):
        while 200 in [await status(client, token["token"]) for client in processes]:
            await asyncio.sleep(0.05)
    assert [await status(client, rotated["token"]) for client in processes] == [200, 200]


async def test_a_token_expires_by_itself(processes: list[AsyncClient]) -> None:
    one, other = processes
    expires_at = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    token = await create(one, expires_at=expires_at)
    assert await status(other, token["token"]) == 200
    async with asyncio.timeout(6.5):
        while await status(other, token["token"]) == 200:
            await asyncio.sleep(0.05)
    refused = await one.post(f"{TOKENS}/{token['id']}/rotate")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["detail"] == "This token has expired; create another."


async def test_the_last_use_is_shown_and_the_first_is_recorded_once_for_all_processes(
    processes: list[AsyncClient],
) -> None:
    one, other = processes
    token = await create(one)
    assert token["last_used_at"] is None
    for client in processes:
        assert await status(client, token["token"]) == 200
    async with asyncio.timeout(10):
        while not (await one.get(f"{TOKENS}/{token['id']}")).json()["last_used_at"]:
            await asyncio.sleep(0.1)
        while len(await types(other)) < 2:
            await asyncio.sleep(0.1)
    # The other process reports its own use within the next second.
    await asyncio.sleep(1.5)
    assert await types(one) == ["token.issued", "token.first_used"]


async def types(client: AsyncClient) -> list[str]:
    found = await client.get("/v1/events", params={"types": "token.*"})
    return [event["type"] for event in found.json()["items"]]
