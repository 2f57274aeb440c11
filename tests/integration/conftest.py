"""Fixtures of the integration tests: a server that a test may stop, kill and freeze."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infrastructure.embedded.binaries import Binaries, find_binaries
from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.migrations import migrate
from tests.support.servers.postgres import missing, postgres_on


@pytest.fixture(scope="session")
def postgres_programs() -> Binaries:
    """Those of a Postgres that runs here."""
    try:
        return find_binaries()
    except NoServerFound as error:
        missing(str(error))


@pytest.fixture
async def own_server() -> AsyncIterator[EmbeddedPostgres]:
    """A server of the test's own; its `rollbook` database is migrated."""
    directory = Path(tempfile.mkdtemp(prefix="rb-"))
    server = postgres_on(directory)
    try:
        await migrate(await server.start())
        yield server
    except NoServerFound as error:
        missing(str(error))
    finally:
        await server.stop()
        shutil.rmtree(directory, ignore_errors=True)
