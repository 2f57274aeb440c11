"""The implementations that several contract suites run against."""

from collections.abc import AsyncIterator

import pytest
from uuid_utils.compat import uuid7

from infrastructure.cache.redis_cache import RedisCache
from tests.support.doubles.cache import MemoryCache
from tests.support.jobs.jobs import Bench
from tests.support.servers.redis import redis_url


@pytest.fixture(params=["memory", "postgres"])
def jobs_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def bench(jobs_url: str | None) -> AsyncIterator[Bench]:
    """A job system in memory, and one in Postgres."""
    async with Bench.in_postgres(jobs_url) if jobs_url else Bench.in_memory() as bench:
        yield bench


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[MemoryCache | RedisCache]:
    """A cache in memory, and one in Redis."""
    if request.param == "memory":
        yield MemoryCache()
        return
    with redis_url() as url:
        async with RedisCache.open(url, uuid7(), 1, ttl=60) as cache:
            yield cache
