"""Postgres for tests: a given server, or one that Rollbook's launcher starts."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.run.logs import keep_log

MASTER_KEYS: Final = "dGVzdHMgb25seTogYSBtYXN0ZXIga2V5IG9mIDMyIGI="
"""The master key of all tests: 32 bytes, not secret."""

_MEMORY: Final = Path("/dev/shm")
_MEMORY_BYTES: Final = 4 * 2**30


def scale() -> float:
    """The factor for the long tests, from ROLLBOOK_TEST_SCALE, which `make test-long` sets."""
    return float(os.environ.get("ROLLBOOK_TEST_SCALE", "1"))


def scaled(count: float) -> int:
    """A count or a number of seconds, times the factor of this run; at least 1."""
    return max(1, round(count * scale()))


def postgres_on(directory: Path) -> EmbeddedPostgres:
    """Rollbook's launcher, with the programs in ROLLBOOK_TEST_POSTGRES_BIN if it is set."""
    return EmbeddedPostgres(directory, binaries=given_programs())


def given_programs() -> Path | None:
    """The folder in ROLLBOOK_TEST_POSTGRES_BIN."""
    given = os.environ.get("ROLLBOOK_TEST_POSTGRES_BIN")
    return Path(given) if given else None


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; fail it if ROLLBOOK_TEST_REQUIRE_ALL is 1."""
    if os.environ.get("ROLLBOOK_TEST_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class _SharedPostgres(EmbeddedPostgres):
    """A server with enough connections for several workers."""

    def _prepare(self) -> list[str]:
        return [*super()._prepare(), "-c", "max_connections=400"]


def memory_folder() -> Path | None:
    """A folder in memory with room for the short form of all tests; None if there is none.

    There the disk delays no test, and the server syncs its files as everywhere.
    """
    if scale() > 1 or not _MEMORY.is_dir():
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES else None


@contextmanager
def postgres_server(parent: Path | None = None) -> Generator[str]:
    """A server that may get new databases, as the URL of its `postgres` database.

    Its data are in `parent`, else where temporary files are.
    """
    given = os.environ.get("ROLLBOOK_TEST_DATABASE_URL")
    if given:
        yield with_database(given, "postgres")
        return
    directory = Path(tempfile.mkdtemp(prefix="rollbook-test-", dir=parent))
    server = _SharedPostgres(directory, binaries=given_programs())
    try:
        yield with_database(asyncio.run(server.start()), "postgres")
    except NoServerFound as error:
        skip_or_fail(str(error))
    finally:
        asyncio.run(server.stop())
        keep_log(directory / "server.log")
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def database(server: str, template: str = "template0") -> Generator[str]:
    """The URL of a new copy of `template`; the database and its sessions end with the context."""
    url = create_database(server, template)
    try:
        yield url
    finally:
        drop_database(server, url)


def create_database(server: str, template: str) -> str:
    """Create a copy of `template`; its URL."""
    name = f"rollbook_test_{uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    execute(server, create.format(sql.Identifier(name), sql.Identifier(template)))
    return with_database(server, name)


def drop_database(server: str, url: str) -> None:
    """Drop the database of a URL and end its sessions; a missing database is no error."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name_of(url)))
    execute(server, drop)


def name_of(url: str) -> str:
    """The name of the database in a URL."""
    return urlsplit(url).path.removeprefix("/")


def with_database(url: str, name: str) -> str:
    """The URL with another database name."""
    scheme, netloc, _, query, _ = urlsplit(url)
    # `urlunsplit` would drop the two slashes of a URL without host and user.
    if not netloc:
        return f"{scheme}:///{name}" + (f"?{query}" if query else "")
    return urlunsplit((scheme, netloc, f"/{name}", query, ""))


def execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
