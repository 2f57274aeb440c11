"""Fixtures of all tests: servers for the whole run, an empty database per test, a master key."""

import asyncio
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop

from infrastructure.migrations import migrate
from tests.support.run.log_scan import LogScan
from tests.support.run.logs import FOLDER, log_to_captured_output
from tests.support.run.order import FileScheduling, select_and_sort
from tests.support.run.retry_failed import Failures
from tests.support.run.workers import Workers, shared_directory
from tests.support.servers.databases import Databases
from tests.support.servers.postgres import MASTER_KEYS, database, name_of, postgres_server
from tests.support.servers.rabbit import RabbitNode, rabbit_node
from tests.support.servers.redis import PrivateRedis
from tests.support.servers.redis import private_redis as private_redis_server
from tests.support.servers.shared import TEMPLATE, SharedServers


def pytest_configure(config: pytest.Config) -> None:
    log_to_captured_output()
    if shared := shared_directory(config):
        config.pluginmanager.register(Workers(shared))
    elif not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(config.rootpath))
        # A run inside a test of this suite leaves its logs to the outer run.
        if FOLDER not in os.environ:
            config.pluginmanager.register(LogScan(config))
        if config.getoption("numprocesses", 0):
            config.pluginmanager.register(SharedServers())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    select_and_sort(config, items)


def pytest_collection_finish() -> None:
    """The garbage collector need not visit the modules and tests of the whole run again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop of production, because loops treat a lost socket differently."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The `postgres` database of a server on which tests may create databases."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def master_keys() -> str:
    """The value of `ROLLBOOK_MASTER_KEY` in tests."""
    return MASTER_KEYS


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database, the template of the others."""
    if shared := os.environ.get(TEMPLATE):
        yield shared
        return
    with database(postgres_url) as url:
        asyncio.run(migrate(url))
        yield name_of(url)


@pytest.fixture(scope="session")
def databases(postgres_url: str, migrated_template: str) -> Iterator[Databases]:
    """Migrated databases, each for one test at a time."""
    databases = Databases(postgres_url, migrated_template)
    yield databases
    databases.close()


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A new database without any table."""
    with database(postgres_url) as url:
        yield url


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database as the migrations leave it."""
    with databases.borrow() as url:
        yield url


@pytest.fixture(scope="session")
def private_rabbit() -> Iterator[RabbitNode]:
    """A RabbitMQ node that only these tests use."""
    with rabbit_node() as node:
        yield node


@pytest.fixture
def rabbit(private_rabbit: RabbitNode) -> RabbitNode:
    """A running RabbitMQ; the test may stop, freeze and start it."""
    private_rabbit.start()
    return private_rabbit


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> str:
    """A given RabbitMQ, or the private one; one worker runs all tests that use it."""
    given = os.environ.get("ROLLBOOK_TEST_AMQP_URL")
    return given or request.getfixturevalue("rabbit").url


@pytest.fixture(scope="session")
def private_redis() -> Iterator[PrivateRedis]:
    """A Redis that only these tests use."""
    with private_redis_server() as server:
        yield server


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """A given Redis as it is, because each log has its own keys; or the private one, emptied."""
    given = os.environ.get("ROLLBOOK_TEST_REDIS_URL")
    if given:
        return given
    server: PrivateRedis = request.getfixturevalue("private_redis")
    server.flush()
    return server.url
