"""A full writer queue over HTTP: a request without room gets 503, an accepted one is recorded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest
from httpx2 import ASGITransport, AsyncClient, Response

from application.users.service import UserService
from infrastructure.event_store import writer
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from interfaces.http.app import create_app
from tests.support.http.directory import Directory
from tests.support.servers.postgres_backends import append_lock, waiting_for_lock

ROOM: Final = 8
REQUESTS: Final = 30


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
async def client(store: EventStore) -> AsyncIterator[AsyncClient]:
    services = replace(Directory().services, commands=UserService(store.log))
    transport = ASGITransport(app=create_app(services))
    async with AsyncClient(
        transport=transport, base_url="http://rollbook", headers={"Authorization": "Bearer writer"}
    ) as client:
        yield client


async def test_a_full_queue_refuses_at_once_and_records_what_it_accepted(
    client: AsyncClient,
    store: EventStore,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "QUEUE_ITEMS", ROOM)

    async def register(number: int) -> Response:
        body = {"name": "Åsa Öberg", "email": f"{number}@example.com"}
        headers = {"Idempotency-Key": f"{number}"}
        return await client.post("/v1/users", json=body, headers=headers)

    async with append_lock(database_url):
        sent = asyncio.create_task(register(0))
        await waiting_for_lock(database_url)
        queued = [asyncio.create_task(register(number)) for number in range(1, REQUESTS)]
        async with asyncio.timeout(2):
            while sum(request.done() for request in queued) < REQUESTS - 1 - ROOM:
                await asyncio.sleep(0.01)
    answers = await asyncio.gather(sent, *queued)
    refused = [number for number, answer in enumerate(answers) if answer.status_code != 201]
    assert len(refused) == REQUESTS - 1 - ROOM
    for number in refused:
        answer = answers[number]
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/overloaded"
        assert int(answer.headers["Retry-After"]) >= 1
    assert await store.feed.head() == 1 + ROOM
    again = [await register(number) for number in range(REQUESTS)]
    replayed = [number for number, one in enumerate(again) if "Idempotency-Replayed" in one.headers]
    assert {answer.status_code for answer in again} == {201}
    assert set(replayed) == set(range(REQUESTS)) - set(refused)
    assert await store.feed.head() == REQUESTS
