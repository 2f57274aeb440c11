"""What several contract suites run against."""

from collections.abc import AsyncIterator

import pytest

from tests.jobs import Bench


@pytest.fixture(params=["memory", "postgres"])
def jobs_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def bench(jobs_url: str | None) -> AsyncIterator[Bench]:
    """Jobs in memory, and jobs in Postgres."""
    async with Bench.in_postgres(jobs_url) if jobs_url else Bench.in_memory() as bench:
        yield bench
