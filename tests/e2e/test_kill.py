"""`kill -9` of everything in the middle of a load loses nothing and doubles nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from tests.running import RunningRollbook, until
from tests.servers import scaled

CALLERS = 16
SECONDS_OF_LOAD = 2.0

Json = dict[str, Any]


class Load:
    """What callers sent, by idempotency key, and what was acknowledged of it."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, str, Json]] = {}
        self.acknowledged: dict[str, Json] = {}

    async def call(self, client: httpx2.AsyncClient) -> None:
        """Register a user and rename them, again and again, until the server is gone."""
        while True:
            person = uuid4().hex
            user = await self.send(
                client, person, "POST", "/v1/users", {"name": "A", "email": f"{person}@example.com"}
            )
            await self.send(
                client, f"{person}-2", "PATCH", f"/v1/users/{user['id']}", {"name": "B"}
            )

    async def send(
        self, client: httpx2.AsyncClient, key: str, method: str, path: str, body: Json
    ) -> Json:
        self.sent[key] = (method, path, body)
        answer = await client.request(method, path, json=body, headers={"Idempotency-Key": key})
        answer.raise_for_status()
        self.acknowledged[key] = answer.json()
        return self.acknowledged[key]


def client_of(rollbook: RunningRollbook) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    return httpx2.AsyncClient(base_url=rollbook.url, headers=headers, timeout=30, trust_env=False)


async def all_events(client: httpx2.AsyncClient) -> AsyncIterator[Json]:
    after = 0
    while True:
        page = (await client.get("/v1/events", params={"after": after, "limit": 1000})).json()
        for event in page["items"]:
            yield event
        if page["next_after"] == after or not page["items"]:
            return
        after = page["next_after"]


async def all_users(client: httpx2.AsyncClient, at: int) -> AsyncIterator[Json]:
    cursor: Json = {}
    while True:
        answer = await client.get(
            "/v1/users",
            params={"limit": 200, **cursor},
            headers={"Rollbook-Min-Position": str(at)},
        )
        answer.raise_for_status()
        for user in answer.json()["items"]:
            yield user
        if answer.json()["next_cursor"] is None:
            return
        cursor = {"cursor": answer.json()["next_cursor"]}


async def test_killed_in_the_middle_of_a_load_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    load = Load()
    with RunningRollbook(tmp_path / "data") as rollbook:
        for _ in range(scaled(3)):
            before = len(load.acknowledged)
            async with client_of(rollbook) as client:
                callers = [asyncio.create_task(load.call(client)) for _ in range(CALLERS)]
                await asyncio.sleep(SECONDS_OF_LOAD)
                rollbook.kill()
                ends = await asyncio.gather(*callers, return_exceptions=True)
            assert all(isinstance(end, httpx2.HTTPError) for end in ends), ends
            assert len(load.acknowledged) > before
            rollbook.start()
            until(lambda: rollbook.status("/health/ready") == 200)
        async with client_of(rollbook) as client:
            await check_log(client, load)
            for key in load.sent.keys() - load.acknowledged.keys():
                await load.send(client, key, *load.sent[key])
            position = await check_log(client, load)
            assert position == await check_views(client, position)


async def check_log(client: httpx2.AsyncClient, load: Load) -> int:
    """Each acknowledged command is in the log once, every other at most once; the head."""
    registered: dict[str, str] = {}
    renamed: set[str] = set()
    position = 0
    async for event in all_events(client):
        assert int(event["position"]) > position
        position = int(event["position"])
        if event["type"] == "user.registered":
            assert event["data"]["email"] not in registered
            registered[event["data"]["email"]] = event["subject"]
        else:
            assert event["subject"] not in renamed
            renamed.add(event["subject"])
    for key, user in load.acknowledged.items():
        assert registered[user["email"]] == user["id"]
        assert not key.endswith("-2") or user["id"] in renamed
    assert registered.keys() <= {
        body["email"] for _, _, body in load.sent.values() if "email" in body
    }
    return position


async def check_views(client: httpx2.AsyncClient, position: int) -> int:
    """The listing and the counters are what a fresh fold of the log gives."""
    folded: dict[str, tuple[str, int]] = {}
    async for event in all_events(client):
        folded[event["subject"]] = (event["data"]["name"], event["version"])
    listed = {
        user["id"]: (user["name"], user["version"]) async for user in all_users(client, position)
    }
    assert listed == folded
    stats = await client.get("/v1/stats", headers={"Rollbook-Min-Position": str(position)})
    assert stats.json()["active"] == len(folded)
    return position
