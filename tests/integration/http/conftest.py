"""A user directory in memory, and its clients with different permissions."""

from collections.abc import AsyncGenerator, Iterator
from typing import Final

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory
from tests.support.servers.redis import redis_url
from tests.support.views.cached_directory import cached

# These tests run with a cache and without. test_cached_answers compares every kind of answer.
_ALSO_CACHED: Final = ("test_users", "test_lists", "test_consistency")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "directory" in metafunc.fixturenames:
        also_cached = metafunc.definition.path.stem in _ALSO_CACHED
        sources = ["views", "cache"] if also_cached else ["views"]
        metafunc.parametrize("source", sources)


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    with redis_url() as url:
        yield url


@pytest.fixture
async def directory(source: str, request: pytest.FixtureRequest) -> AsyncGenerator[Directory]:
    """A directory that reads its documents from the views, or from a cache in front of them."""
    if source == "views":
        yield Directory()
        return
    async with cached(Directory(), request.getfixturevalue("redis")) as directory:
        yield directory


@pytest.fixture
async def admin(directory: Directory) -> AsyncGenerator[AsyncClient]:
    async with directory.as_("admin") as client:
        yield client


@pytest.fixture
async def writer(directory: Directory) -> AsyncGenerator[AsyncClient]:
    async with directory.as_("writer") as client:
        yield client


@pytest.fixture
async def reader(directory: Directory) -> AsyncGenerator[AsyncClient]:
    async with directory.as_("reader") as client:
        yield client


@pytest.fixture
async def anonymous(directory: Directory) -> AsyncGenerator[AsyncClient]:
    """A client that sends no token."""
    async with directory.as_(None) as client:
        yield client
