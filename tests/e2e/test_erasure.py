"""Personal data in every part of a whole Rollbook; after the erasure no part has any of it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aio_pika
import httpx2
import psycopg
import pytest
from aio_pika.abc import AbstractQueue
from msgspec import Struct

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.http.agreement import head
from tests.support.http.stream_reader import StreamReader
from tests.support.jobs.personal_data_search import (
    Found,
    Words,
    in_files,
    in_messages,
    in_redis,
    in_tables,
)
from tests.support.log.invariants import stale_views
from tests.support.servers.prepared_data import prepared
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.rollbook import RunningRollbook

NAME: Final = "Zyxwina Quasarhopper-Łę"
EMAIL: Final = "z.quasarhopper@example.org"
FORMER_NAME: Final = "Zyxwina Blumenkötter"
# The database refuses this name in a view, so the projector parks the event.
REFUSED_NAME: Final = "Refused Quasarhopper"
WORDS: Final = Words(
    NAME,
    EMAIL,
    "Quasarhopper",
    "Zyxwina",
    "Blumenkötter",
    "QH-77-4711",
    "+49 7777 123321",
    "lumbago",
)
FACTS: Final[dict[str, Any]] = {"phone": "+49 7777 123321", "notes": [{"on": "Quasarhopper"}]}
PERSON: Final[dict[str, Any]] = {
    "name": FORMER_NAME,
    "email": EMAIL,
    "external_id": "QH-77-4711",
    "attributes": FACTS,
}

# The filters name the person, and so do the exported rows.
EXPORTS: Final[list[dict[str, Any]]] = [
    {"what": "users", "format": "csv", "filters": {"email": EMAIL}},
    {"what": "users", "format": "ndjson", "filters": {"q": "Zyxwina Quasar"}},
    {"what": "audit", "format": "ndjson", "filters": {"user": EMAIL}},
]


class Stage(Struct, frozen=True):
    """All running parts, with access to each of them."""

    rollbook: RunningRollbook
    redis: PrivateRedis
    queue: AbstractQueue
    client: httpx2.AsyncClient
    messages: list[tuple[bytes, Mapping[str, Any]]]

    @property
    def database_url(self) -> str:
        return EmbeddedPostgres(self.rollbook.data_dir / "postgres").url

    def files(self) -> list[Path]:
        """The logs and all other files, except the database's own files."""
        data = self.rollbook.data_dir / "postgres" / "data"
        files = [path for path in self.rollbook.data_dir.rglob("*") if path.is_file()]
        outside = [path for path in files if not path.is_relative_to(data)]
        return [*outside, self.rollbook.log]

    async def found(self) -> Mapping[str, Found]:
        """The words of the person that were found, by part."""
        while (message := await self.queue.get(fail=False)) is not None:
            self.messages.append((message.body, message.headers))
        return {
            "tables": await asyncio.to_thread(in_tables, self.database_url, WORDS),
            "redis": await asyncio.to_thread(in_redis, self.redis.url, WORDS),
            "messages": in_messages(self.messages, WORDS),
            "files": in_files(self.files(), WORDS),
        }


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
def rollbook(tmp_path: Path, redis: PrivateRedis, amqp_url: str) -> Iterator[RunningRollbook]:
    with RunningRollbook(
        prepared(tmp_path / "data"),
        "--split",
        ROLLBOOK_REDIS_URL=redis.url,
        ROLLBOOK_AMQP_URL=amqp_url,
    ) as rollbook:
        yield rollbook


@asynccontextmanager
async def staged(
    rollbook: RunningRollbook, redis: PrivateRedis, amqp_url: str
) -> AsyncGenerator[Stage]:
    """A stage with a queue that no consumer reads."""
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    async with (
        await aio_pika.connect(amqp_url) as connection,
        httpx2.AsyncClient(base_url=rollbook.url, headers=headers, timeout=30) as client,
    ):
        channel = await connection.channel()
        exchange = await channel.declare_exchange("rollbook.events", "topic", durable=True)
        queue = await channel.declare_queue("unread", durable=True)
        await queue.bind(exchange, "#")
        yield Stage(rollbook, redis, queue, client, [])
        await queue.delete(if_unused=False, if_empty=False)


async def test_no_part_keeps_data_of_an_erased_person(
    rollbook: RunningRollbook, redis: PrivateRedis, amqp_url: str
) -> None:
    async with (
        staged(rollbook, redis, amqp_url) as stage,
        StreamReader.on(rollbook.url, rollbook.token, 0) as reader,
    ):
        refuse_name_in_view(stage.database_url)
        person, parked = await run_every_command(stage), await park_a_rename(stage)
        # Exports are recorded, and each further event makes cached pages old: so the pages come last.
        files = [await exported(stage.client, each) for each in EXPORTS]
        await read_everything(stage, person, parked)
        for file in files:
            assert WORDS.found_in((await stage.client.get(file)).content)
        await reader.wait_for(await head(stage.client))
        assert WORDS.found_in(str(reader.events).encode()) > {NAME, "lumbago"}
        before = await stage.found()
        assert before["tables"].keys() == {"users_g1", "pg_stats"}
        assert {person, parked, "pages"} == {key.rpartition(":")[2] for key in before["redis"]}
        assert (before["messages"], before["files"]) == ({}, {})
        assert sum(b'"sealed":{' in body for body, _ in stage.messages) > 8
        samples = [await history(stage.client, each) for each in (person, parked)]

        receipts = [await erased(stage.client, each) for each in (person, parked)]
        assert await stage.found() == {"tables": {}, "redis": {}, "messages": {}, "files": {}}
        covers = set(receipts[0]["covers"])
        assert covers >= {
            "data-key",
            "events",
            "claims",
            "messages",
            "cache",
            "exports",
            "views:users/1",
        }

        for file in files:
            answer = await stage.client.get(file)
            assert (answer.status_code, WORDS.found_in(answer.content)) == (200, set())

        for events in samples:
            for event in events:
                answer = await stage.client.get(f"/v1/events/{event['id']}")
                assert answer.json()["personal"] in ("erased", "open")
                assert not WORDS.found_in(answer.content)
        await reader.wait_for(await head(stage.client))
        await assert_not_found(stage, person, parked)
        stale = await stale_views(stage.database_url, rollbook.master_key)
        assert [each.partition(" {")[0] for each in stale] == ["users/1/0 has parked"]
        assert await stage.found() == {"tables": {}, "redis": {}, "messages": {}, "files": {}}


def refuse_name_in_view(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            f"ALTER TABLE users_g1 ADD CHECK (name IS DISTINCT FROM '{REFUSED_NAME}')".encode()
        )


async def run_every_command(stage: Stage) -> str:
    """Sends commands of every kind, many of them refused, with personal data in every field."""
    client = stage.client
    key = {"Idempotency-Key": "life-1"}
    user = (await client.post("/v1/users", json=PERSON, headers=key)).json()
    path = f"/v1/users/{user['id']}"
    await client.post("/v1/users", json=PERSON, headers=key)
    steps = [
        await client.patch(path, json={"name": NAME, "attributes": {"floor": 2}}),
        await client.patch(path, json={"external_id": None}),
        await client.patch(path, json={"external_id": PERSON["external_id"]}),
        await client.put(path, json={**PERSON, "name": NAME, "role": "owner"}),
        await client.post(f"{path}/suspend", json={"reason": "lumbago again, says Quasarhopper"}),
        await client.post(f"{path}/reinstate", json={"reason": "Quasarhopper is back"}),
        await client.request("DELETE", path, json={"reason": "lumbago"}),
        await client.post(f"{path}/restore", json={"reason": "Zyxwina insists"}),
    ]
    assert [step.status_code for step in steps] == [200] * 6 + [204, 200]
    refused = [
        await client.post("/v1/users", json=PERSON),
        await client.post("/v1/users", json={**PERSON, "Quasarhopper": 1}),
        await client.post("/v1/users", json={**PERSON, "email": "Quasarhopper at home"}),
        await client.post("/v1/users", content=f'{{"name": "{NAME}'.encode()),
        await client.patch(path, json={"attributes": {NAME: "lumbago " * 3000}}),
        await client.patch(path, json={"name": NAME}, headers={"If-Match": '"77"'}),
        await client.post("/v1/users", json={**PERSON, "role": "x"}, headers=key),
        await client.get(f"/v1/users/{NAME}"),
        await client.get("/v1/users", params={"email": NAME}),
        await client.get(f"/Quasarhopper/{EMAIL}"),
    ]
    assert {answer.status_code for answer in refused} == {404, 409, 412, 415, 422}
    return user["id"]


async def park_a_rename(stage: Stage) -> str:
    """Makes a user with a parked event: its view keeps the old name until the erasure."""
    user = await stage.client.post(
        "/v1/users", json={**PERSON, "name": NAME, "email": f"2{EMAIL}", "external_id": None}
    )
    path = f"/v1/users/{user.json()['id']}"
    await stage.client.get(path)
    assert (await stage.client.patch(path, json={"name": REFUSED_NAME})).status_code == 200
    return user.json()["id"]


async def read_everything(stage: Stage, *people: str) -> None:
    """Reads the people in every way, so that the cache and the planner's statistics have them."""
    at_least = {"Rollbook-Min-Position": str(await head(stage.client))}
    queries = ({"q": "Zyxwina Quasar"}, {"email": EMAIL}, {"external_id": "QH-77-4711"})
    for user_id in people:
        for _ in range(2):
            await stage.client.get(f"/v1/users/{user_id}", headers=at_least)
        await stage.client.get(f"/v1/users/{user_id}?version=1")
    await stage.client.get("/v1/events", params={"after": 0, "limit": 1000})
    with psycopg.connect(stage.database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        assert connection.execute("SELECT count(*) FROM parked").fetchone() == (1,)
    for _ in range(100):
        # The cache stores pages only when it has caught up with the view.
        for query in queries:
            listed = await stage.client.get("/v1/users", params=query, headers=at_least)
            assert people[0] in listed.text
        if len(await asyncio.to_thread(in_redis, stage.redis.url, WORDS)) == len(people) + 1:
            return
        await asyncio.sleep(0.05)


async def exported(client: httpx2.AsyncClient, request: dict[str, Any]) -> str:
    """The path of the file of a new export."""
    answer = await client.post("/v1/exports", json=request)
    assert answer.status_code == 202, answer.text
    path = answer.headers["Location"]
    for _ in range(200):
        job = (await client.get(path)).json()
        if job["state"] == "succeeded":
            return f"{path}/result"
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} does not succeed")


async def history(client: httpx2.AsyncClient, user_id: str) -> list[dict[str, Any]]:
    answer = await client.get("/v1/events", params={"user": user_id, "limit": 1000})
    assert WORDS.found_in(answer.content)
    return answer.json()["items"]


async def erased(client: httpx2.AsyncClient, user_id: str) -> dict[str, Any]:
    """The receipt, from the answer or from the job that it names."""
    answer = await client.post(f"/v1/users/{user_id}/erase", json={"reason": "subject-request"})
    assert answer.status_code in (200, 202), answer.text
    for _ in range(300):
        if answer.status_code == 200:
            return answer.json()
        await asyncio.sleep(0.1)
        answer = await client.post(f"/v1/users/{user_id}/erase")
    raise AssertionError(answer.text)


async def assert_not_found(stage: Stage, *people: str) -> None:
    """No query finds these people."""
    at_least = {"Rollbook-Min-Position": str(await head(stage.client))}
    statuses = "active,suspended,deleted,erased"
    for query in ({"q": "Zyxwina"}, {"email": EMAIL}, {"external_id": "QH-77-4711"}):
        params = {**query, "status": statuses}
        listed = await stage.client.get("/v1/users", params=params, headers=at_least)
        assert listed.json()["items"] == []
    for user_id in people:
        for path in ("", "?version=1", "?at=2999-01-01T00:00:00Z"):
            answer = await stage.client.get(f"/v1/users/{user_id}{path}", headers=at_least)
            assert (answer.status_code, WORDS.found_in(answer.content)) == (410, set())
    everything = await stage.client.get("/v1/events", params={"after": 0, "limit": 1000})
    assert not WORDS.found_in(everything.content)
