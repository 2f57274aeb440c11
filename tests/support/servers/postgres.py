"""Real servers for tests: the given one, else our own launcher's; databases made and dropped."""

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

MASTER_KEYS: Final = "dGVzdHMgb25seTogYSBtYXN0ZXIga2V5IG9mIDMyIGI="
"""The master key of every test: 32 bytes, and no secret."""


def scale() -> float:
    """How long the long tests of this run are: `make test-long` sets ROLLBOOK_TEST_SCALE."""
    return float(os.environ.get("ROLLBOOK_TEST_SCALE", "1"))


def scaled(count: float) -> int:
    """A count or a number of seconds for this run."""
    return max(1, round(count * scale()))


def postgres_on(directory: Path) -> EmbeddedPostgres:
    """Our own launcher, with the programs that ROLLBOOK_TEST_POSTGRES_BIN names, if set."""
    return EmbeddedPostgres(directory, binaries=_given_programs())


def _given_programs() -> Path | None:
    given = os.environ.get("ROLLBOOK_TEST_POSTGRES_BIN")
    return Path(given) if given else None


def missing(reason: str) -> NoReturn:
    """Skip for want of something on this machine; a failure where everything is required."""
    if os.environ.get("ROLLBOOK_TEST_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class _SharedPostgres(EmbeddedPostgres):
    """With connections for several workers of a test run."""

    def _prepare(self) -> list[str]:
        return [*super()._prepare(), "-c", "max_connections=400"]


@contextmanager
def postgres_server() -> Generator[str]:
    """A server where databases may be made, as the URL of its `postgres` database."""
    given = os.environ.get("ROLLBOOK_TEST_DATABASE_URL")
    if given:
        yield at(given, "postgres")
        return
    directory = Path(tempfile.mkdtemp(prefix="rollbook-test-"))
    server = _SharedPostgres(directory, binaries=_given_programs())
    try:
        yield at(asyncio.run(server.start()), "postgres")
    except NoServerFound as error:
        missing(str(error))
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def database(server: str, template: str = "template0") -> Generator[str]:
    """A new database as a copy of `template`, as its URL; dropped at the end with its sessions."""
    url = create_database(server, template)
    try:
        yield url
    finally:
        drop_database(server, url)


def create_database(server: str, template: str) -> str:
    """A new database as a copy of `template`, as its URL."""
    name = f"rollbook_test_{uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    execute(server, create.format(sql.Identifier(name), sql.Identifier(template)))
    return at(server, name)


def drop_database(server: str, url: str) -> None:
    """Drop the database of a URL and end its sessions; one that is gone is no error."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name_of(url)))
    execute(server, drop)


def name_of(url: str) -> str:
    """The database that a URL names."""
    return urlsplit(url).path.removeprefix("/")


def at(url: str, name: str) -> str:
    """The same server, another database."""
    scheme, place, _, query, _ = urlsplit(url)
    # A URL with neither host nor user keeps its two slashes only by being put together by hand.
    if not place:
        return f"{scheme}:///{name}" + (f"?{query}" if query else "")
    return urlunsplit((scheme, place, f"/{name}", query, ""))


def execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
