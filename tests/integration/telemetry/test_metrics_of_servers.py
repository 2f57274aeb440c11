"""The metrics of a whole process on real servers, and those that remain when these are away."""

import asyncio
from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from httpx2 import AsyncClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from infrastructure.cache.keys import FORMAT
from infrastructure.database import Database
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.telemetry.backlog import PostgresBacklog
from tests.support.http.in_process import in_process
from tests.support.servers.postgres_backends import frozen, server_processes
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.redis_admin import RedisAdmin

_BACKLOG: Final = b"""
INSERT INTO jobs (tenant, id, kind, state, arguments, actor)
SELECT 'main', gen_random_uuid(), 'test', state, '{}', 'test'
FROM (VALUES ('queued', 10050), ('running', 2), ('failed', 3)) AS given (state, jobs),
    generate_series(1, jobs)"""
ADA: Final = {"name": "Ada Lovelace", "email": "ada@example.org"}


async def scrape(client: AsyncClient) -> dict[tuple[str, ...], float]:
    """The metrics by name and label values."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


async def test_all_parts_have_metrics(database_url: str, redis: PrivateRedis) -> None:
    async with in_process(database_url, redis_url=SecretStr(redis.url), cache_ttl=60) as client:
        for n in range(3):
            await client.post("/v1/users", json={**ADA, "email": f"{n}@example.org"})
        async with asyncio.timeout(20):
            while (found := await scrape(client))[
                "rollbook_cache_lookups_total", "pages", "hit"
            ] < 2:
                await client.get("/v1/users")
                await asyncio.sleep(0.05)
            while found["rollbook_projection_state", "users", "live"] != 1:
                found = await scrape(client)
        head = found["rollbook_log_head",]
        assert head >= 3
        for projection in ("users", "headcount"):
            assert found["rollbook_projection_generation", projection] == 1
            assert found["rollbook_projection_parked", projection] == 0
            assert 0 <= found["rollbook_projection_position", projection] <= head
            states = ("live", "catching-up", "parked", "stopped", "paused")
            assert sum(found["rollbook_projection_state", projection, each] for each in states) == 1
        assert found["rollbook_projection_position", "users"] == head
        assert found["rollbook_projection_lag", "users"] == 0
        assert found["rollbook_projection_lag_seconds", "users"] == 0
        assert found["rollbook_up", "postgres"] == found["rollbook_up", "redis"] == 1
        # The fourth one records that this caller reads lists of people.
        assert found["rollbook_writer_commands_total",] == 4
        assert 1 <= found["rollbook_writer_batches_total",] <= 4
        assert found["rollbook_writer_queue",] == 0
        assert found["rollbook_cache_offers_total", "pages", "kept"] >= 1
        assert found["rollbook_jobs", "queued"] == 0
        assert not any(name[0].startswith("rollbook_relay") for name in found)
        assert found["rollbook_http_requests_total", "POST", "/v1/users", "201"] == 3
        assert found["process_resident_memory_bytes",] > 1_000_000

        with RedisAdmin(redis.url) as admin:
            lives = {
                key.rpartition("}:")[2]: admin.seconds_left(key)
                for key in admin.keys(f"rb{FORMAT}:*")
            }
        assert lives.pop("pos") > 60
        assert lives.keys() > {"pages"}
        assert all(0 < seconds <= 60 for seconds in lives.values())

        redis.stop()
        found = await scrape(client)
        assert (found["rollbook_up", "postgres"], found["rollbook_up", "redis"]) == (1, 0)
        for _ in range(3):
            assert (await client.get("/v1/users")).status_code == 200
        found = await scrape(client)
        assert found["rollbook_cache_lookups_total", "pages", "away"] >= 3


async def test_a_frozen_database_does_not_hide_the_other_metrics(
    own_server: EmbeddedPostgres,
) -> None:
    assert own_server.pid is not None
    async with in_process(own_server.url) as client:
        await client.get("/health/live")
        with frozen(*server_processes(own_server.pid)):
            async with asyncio.timeout(3):
                several = await asyncio.gather(*(scrape(client) for _ in range(5)))
        for found in several:
            assert found["rollbook_up", "postgres"] == 0
            assert found["rollbook_http_requests_total", "GET", "/health/live", "200"] == 1
            assert ("rollbook_log_head",) not in found
        async with asyncio.timeout(20):
            while ("rollbook_log_head",) not in (found := await scrape(client)):
                await asyncio.sleep(0.1)
        assert found["rollbook_up", "postgres"] == 1


async def test_the_backlog_is_counted_by_state(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_BACKLOG)
    async with Database.open(database_url) as database:
        backlog = await PostgresBacklog(database).read()
    assert backlog.ahead_seconds == 0
    assert backlog.jobs == {
        "queued": 10_000,
        "running": 2,
        "failed": 3,
        "succeeded": 0,
        "cancelled": 0,
    }
