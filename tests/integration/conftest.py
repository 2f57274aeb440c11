"""Fixtures of the integration tests: a server that a test may stop, kill and freeze."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infrastructure.embedded.binaries import Binaries, find_binaries
from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.run.logs import keep_log
from tests.support.servers.postgres import postgres_on, skip_or_fail
from tests.support.servers.prepared_data import prepared_postgres


@pytest.fixture(scope="session")
def postgres_programs() -> Binaries:
    """The programs of a Postgres that this machine can run."""
    try:
        return find_binaries()
    except NoServerFound as error:
        skip_or_fail(str(error))


@pytest.fixture
async def own_server() -> AsyncIterator[EmbeddedPostgres]:
    """A private server for one test; its `rollbook` database is migrated."""
    directory = Path(tempfile.mkdtemp(prefix="rb-"))
    server = postgres_on(directory / "postgres")
    try:
        await asyncio.to_thread(prepared_postgres, directory / "postgres")
        await server.start()
        yield server
    except NoServerFound as error:
        skip_or_fail(str(error))
    finally:
        await server.stop()
        keep_log(directory / "postgres" / "server.log")
        shutil.rmtree(directory, ignore_errors=True)
