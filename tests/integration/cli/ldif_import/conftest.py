"""An import into an in-memory Rollbook."""

from collections.abc import AsyncIterator
from functools import partial

import httpx2
import pytest

from interfaces.cli.client.client import Remote
from interfaces.cli.ldif_import.person import PersonImport
from interfaces.cli.target.connection import Connection
from tests.support.cli.rows import FakeSleep, Runs
from tests.support.http.fake_rollbook import TOKEN, FakeRollbook


@pytest.fixture
def server() -> FakeRollbook:
    return FakeRollbook()


@pytest.fixture
def waits() -> FakeSleep:
    return FakeSleep()


@pytest.fixture
async def remote(server: FakeRollbook, waits: FakeSleep) -> AsyncIterator[Remote]:
    transport = httpx2.ASGITransport(server)
    async with Connection("http://rollbook.example.org", TOKEN).client(transport) as client:
        yield Remote(client, waits)


@pytest.fixture
def runs(remote: Remote) -> Runs:
    """A new run of an import."""
    return partial(PersonImport, remote, TOKEN)
