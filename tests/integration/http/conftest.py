"""A directory in memory, and clients of it with different permissions."""

from collections.abc import AsyncGenerator

import pytest
from httpx2 import AsyncClient

from tests.directory import Directory


@pytest.fixture
def directory() -> Directory:
    return Directory()


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
async def stranger(directory: Directory) -> AsyncGenerator[AsyncClient]:
    """Sends no token at all."""
    async with directory.as_(None) as client:
        yield client
