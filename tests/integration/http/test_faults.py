"""Faults of the store, seen by a caller of the API: correct answers, and each command once."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from infrastructure.event_store import writer
from tests.support.http.in_process import in_process
from tests.support.servers.postgres_backends import append_lock, waiting_for_lock
from tests.support.servers.postgres_proxy import Cut, PostgresProxy

NUMBERS: Final = count()
Json = dict[str, Any]


@pytest.fixture
def socket_directory() -> Iterator[Path]:
    """A Unix socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="rb-") as directory:
        yield Path(directory)


@pytest.fixture
async def proxy(database_url: str, socket_directory: Path) -> AsyncGenerator[PostgresProxy]:
    async with PostgresProxy.to(database_url, socket_directory) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: PostgresProxy) -> AsyncGenerator[AsyncClient]:
    async with in_process(proxy.url) as client:
        yield client


async def register(client: AsyncClient, key: str | None = None, email: str = "") -> Response:
    body = {"name": "Ada", "email": email or f"user{next(NUMBERS)}@example.org"}
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post("/v1/users", json=body, headers=headers)


async def recorded(client: AsyncClient) -> list[Json]:
    return (await client.get("/v1/events", params={"limit": 1000})).json()["items"]


@pytest.mark.parametrize("how", Cut)
async def test_a_caller_does_not_notice_a_lost_reply_of_the_database(
    client: AsyncClient, proxy: PostgresProxy, how: Cut
) -> None:
    async def cut(command: Callable[[], Awaitable[Response]]) -> Response:
        async with asyncio.timeout(10):
            _, answer = await asyncio.gather(proxy.cut(how), command())
        return answer

    registered = await cut(lambda: register(client, email="ada@example.org"))
    path = registered.headers["Location"]
    key = {"Idempotency-Key": "once"}
    renamed = await cut(lambda: client.patch(path, json={"name": "Ada King"}, headers=key))
    again = await client.patch(path, json={"name": "Ada King"}, headers=key)
    moved = await cut(lambda: client.patch(path, json={"email": "king@example.org"}))
    deleted = await cut(lambda: client.delete(path))
    answers = [registered, renamed, again, moved, deleted]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 204]
    assert again.headers["Idempotency-Replayed"] == "true"
    events = await recorded(client)
    assert [event["type"] for event in events] == [
        "user.registered",
        "user.renamed",
        "user.email_changed",
        "user.deleted",
    ]
    returned = [a.headers["Rollbook-Position"] for a in (registered, renamed, moved, deleted)]
    assert returned == [event["position"] for event in events]


async def test_after_an_unknown_outcome_the_command_is_repeated_with_its_key(
    client: AsyncClient, database_url: str
) -> None:
    async with append_lock(database_url):
        command = asyncio.create_task(register(client, "once", "ada@example.org"))
        # The backend gets the lock as soon as it is free, but it is frozen: the outcome is unknown.
        backend = await waiting_for_lock(database_url)
        os.kill(backend, signal.SIGSTOP)
    try:
        unknown = await command
    finally:
        os.kill(backend, signal.SIGCONT)
    assert (unknown.status_code, unknown.json()["type"]) == (503, "/problems/outcome-unknown")
    assert int(unknown.headers["Retry-After"]) >= 1
    async with asyncio.timeout(10):
        while not (again := await register(client, "once", "ada@example.org")).is_success:
            assert again.status_code == 503
    assert again.status_code == 201
    (event,) = await recorded(client)
    assert event["subject"] == again.json()["id"]


async def test_a_full_queue_refuses_at_once_and_records_every_accepted_command(
    client: AsyncClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUEUE_ITEMS", 20)
    async with append_lock(database_url):
        first = asyncio.create_task(register(client))
        await waiting_for_lock(database_url)
        others = [asyncio.create_task(register(client, f"key{n}")) for n in range(60)]
        refused, waiting = await asyncio.wait(others, timeout=1.0)
        assert (len(refused), len(waiting)) == (40, 20)
    accepted = [await task for task in (first, *waiting)]
    assert {answer.status_code for answer in accepted} == {201}
    for task in refused:
        answer = task.result()
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    returned = {answer.json()["id"] for answer in accepted}
    assert {event["subject"] for event in await recorded(client)} == returned
