"""The limits of whole processes, as their settings say, over a real database and Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from httpx2 import AsyncClient
from pydantic import SecretStr

from interfaces.roles import Roles
from tests.support.http.in_process import in_process
from tests.support.servers.redis import private_redis, redis_url
from tests.support.servers.redis_admin import RedisAdmin

API: Roles = frozenset({"api"})


@asynccontextmanager
async def two_processes(
    database_url: str, redis: str, **settings: Any
) -> AsyncGenerator[tuple[AsyncClient, AsyncClient]]:
    settings["redis_url"] = SecretStr(redis)
    async with (
        in_process(database_url, API, **settings) as one,
        in_process(database_url, API, **settings) as another,
    ):
        yield one, another


async def statuses(client: AsyncClient, count: int) -> Counter[int]:
    return Counter([(await client.get("/v1/me")).status_code for _ in range(count)])


async def test_what_a_caller_uses_is_added_up_in_redis(database_url: str) -> None:
    with private_redis() as redis, RedisAdmin(redis.url) as admin:
        async with two_processes(database_url, redis.url, rate_limit=100) as (one, another):
            for client in (one, another):
                assert await statuses(client, 5) == {200: 5}
            async with asyncio.timeout(5):
                while list(admin.contents("*:limits:*").values()) != [b"10"]:
                    await asyncio.sleep(0.05)


async def test_tickets_are_counted_over_all_processes_at_once(database_url: str) -> None:
    with redis_url() as redis:
        async with two_processes(database_url, redis) as both:
            answers = [await both[n % 2].post("/v1/stream/tickets") for n in range(62)]
    assert [answer.status_code for answer in answers] == [201] * 60 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60


async def test_without_limits_or_redis_the_settings_are_kept(database_url: str) -> None:
    async with in_process(database_url, API, rate_limit=0) as client:
        assert await statuses(client, 100) == {200: 100}
        assert "RateLimit" not in (await client.get("/v1/me")).headers
    async with in_process(database_url, API, rate_limit=2) as client:
        found = await statuses(client, 50)
        assert found[429] > 0
        assert found[200] >= 4
