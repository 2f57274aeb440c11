"""One Postgres and one Redis for all workers of a run; the main process starts and stops them."""

import asyncio
import os
import shutil
import tempfile
from contextlib import ExitStack
from typing import Final

import pytest

from infrastructure.migrations import migrate
from tests.support.servers.postgres import database, memory_folder, name_of, postgres_server
from tests.support.servers.prepared_data import SHARED_FOLDER
from tests.support.servers.redis import redis_url

TEMPLATE: Final = "ROLLBOOK_TEST_TEMPLATE"
"""The variable that names a migrated database of the shared server."""


class SharedServers:
    """A plug-in of the main process. Workers find the servers in the variables for given ones."""

    def __init__(self) -> None:
        self._open = ExitStack()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Start the servers before the workers inherit the environment."""
        folder = tempfile.mkdtemp(prefix="rollbook-shared-")
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        os.environ[SHARED_FOLDER] = folder
        try:
            server = self._open.enter_context(postgres_server(memory_folder()))
            redis = self._open.enter_context(redis_url())
        except (pytest.skip.Exception, pytest.fail.Exception):
            return  # each test that needs the missing server reports it
        template = self._open.enter_context(database(server))
        asyncio.run(migrate(template))
        os.environ["ROLLBOOK_TEST_DATABASE_URL"] = server
        os.environ["ROLLBOOK_TEST_REDIS_URL"] = redis
        os.environ[TEMPLATE] = name_of(template)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self._open.close()
