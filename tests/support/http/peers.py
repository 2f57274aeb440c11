"""Clients that connect from a given address, and settings of a directory that a test changes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from httpx2 import ASGITransport, AsyncClient

from interfaces.http.app import create_app
from tests.support.http.directory import Directory


def with_services(directory: Directory, **services: Any) -> Directory:
    """The directory with other services, such as `limits` or `origins`."""
    directory.services = replace(directory.services, **services)
    directory.app = create_app(directory.services)
    return directory


@asynccontextmanager
async def client_at(
    directory: Directory, address: str, token: str | None = None, base_url: str = "http://rollbook"
) -> AsyncGenerator[AsyncClient]:
    """A client that connects from the address."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(directory.app, client=(address, 1), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url=base_url, headers=headers) as client:
        yield client
