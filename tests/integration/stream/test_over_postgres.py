"""The stream on Postgres, with the bells of Postgres or of Redis."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest
from httpx2 import AsyncClient
from pydantic import SecretStr

from application.context import Context
from application.users.service import UserService
from domain.user.commands import EraseUser
from infrastructure.keys import MasterKeys
from interfaces.composition.bootstrap import open_rollbook
from interfaces.composition.event_store import open_event_store
from interfaces.settings import Settings
from tests.support.http.directory import ADA
from tests.support.http.streaming import closed, events, frame, served, streaming
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.redis import private_redis

TOKEN = "a-token-of-more-than-32-characters"


@pytest.fixture(params=["alone", "with-redis"])
def settings(request: pytest.FixtureRequest, database_url: str) -> Iterator[Settings]:
    settings = Settings.model_construct(
        database_url=SecretStr(database_url),
        master_key=SecretStr(MASTER_KEYS),
        admin_token=SecretStr(TOKEN),
    )
    if request.param == "alone":
        yield settings
        return
    with private_redis() as redis:
        yield settings.model_copy(update={"redis_url": SecretStr(redis.url)})


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[tuple[str, AsyncClient]]:
    """The whole product in this process; yields its URL and a client."""
    async with open_rollbook(settings) as rollbook:
        assert rollbook.application is not None
        async with served(rollbook.application) as url:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
                yield url, client
            rollbook.stopping.set()


async def test_the_bell_brings_an_event_long_before_the_poll(settings: Settings) -> None:
    async with running(settings) as (url, client), streaming(url, token=TOKEN) as stream:
        await frame(stream)
        waits: list[float] = []
        for number in range(10):
            answer = await client.post(
                "/v1/users", json={**ADA, "email": f"ada{number}@example.org"}
            )
            began = asyncio.get_running_loop().time()
            (event,) = await events(stream, 1)
            waits.append(asyncio.get_running_loop().time() - began)
            assert event["position"] == answer.headers["Rollbook-Position"]
        assert sorted(waits)[5] < 0.3


async def test_events_of_another_process_are_sent_too(settings: Settings) -> None:
    async with running(settings) as (url, _), running(settings) as (_, other):
        async with streaming(url, token=TOKEN) as stream:
            await frame(stream)
            await other.post("/v1/users", json=ADA)
            assert [event["type"] for event in await events(stream, 1)] == ["user.registered"]


async def test_a_ticket_of_one_process_is_valid_in_another(settings: Settings) -> None:
    async with running(settings) as (url, _), running(settings) as (_, other):
        ticket = (await other.post("/v1/stream/tickets")).json()["ticket"]
        async with streaming(url, token=None, ticket=ticket) as stream:
            assert (await frame(stream))["kind"] == "ready"
        async with streaming(url, token=None, ticket=ticket) as again:
            assert (await closed(again))[0] == 4401


async def test_a_stream_opened_after_an_erasure_shows_erased_events(
    settings: Settings,
) -> None:
    async with running(settings) as (url, client), streaming(url, token=TOKEN) as stream:
        await frame(stream)
        user = (await client.post("/v1/users", json=ADA)).json()
        assert (await events(stream, 1))[0]["data"]["name"] == ADA["name"]
        await erase(settings, user["id"])
        await events(stream, 1)
        async with streaming(url, token=TOKEN, after=0) as later:
            registered, erased = await events(later, 2)
        assert (registered["personal"], registered["data"]["name"]) == ("erased", None)
        assert erased["type"] == "user.erased"


async def test_a_stream_continues_after_postgres_cuts_every_connection(settings: Settings) -> None:
    async with running(settings) as (url, client), streaming(url, token=TOKEN) as stream:
        await frame(stream)
        database_url = settings.database_url.get_secret_value()
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        async with asyncio.timeout(10):
            while (await client.post("/v1/users", json=ADA)).status_code != 201:
                await asyncio.sleep(0.1)
            assert [event["version"] for event in await events(stream, 1)] == [1]


async def erase(settings: Settings, user_id: str) -> None:
    """Erase through the event store only, without waiting for a projector."""
    keys = MasterKeys.parse(settings.need("master_key"))
    async with open_event_store(settings.database_url.get_secret_value(), keys) as store:
        await UserService(store.log).execute(
            UUID(user_id), EraseUser(), Context(actor="token:admin", correlation_id="erase")
        )
