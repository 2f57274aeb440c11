"""Checks a Postgres server: reachable, new enough, and not behind a transaction-pooling proxy."""

from typing import Final
from uuid import uuid4

import psycopg

from infrastructure.postgres import CONNECT_SECONDS, Connection, answered_within

MIN_VERSION: Final = 15
PROXY_SECONDS: Final = 2.0


class UnsuitableServer(Exception):
    """Rollbook cannot run on this server; the message is one line for people."""


async def check_server(database_url: str) -> str:
    """The server's version. Raises `UnsuitableServer`."""
    try:
        async with await _connect(database_url) as session:
            version = session.info.server_version // 10_000
            if version < MIN_VERSION:
                raise UnsuitableServer(
                    f"the database is Postgres {version}, {MIN_VERSION} is needed"
                )
            if await _is_pooled(session, database_url):
                raise UnsuitableServer(
                    "the database is behind a proxy that pools transactions: "
                    "locks and LISTEN need a direct connection"
                )
            return session.info.parameter_status("server_version") or str(version)
    except psycopg.Error as error:
        raise _unreachable(error) from error


async def check_schema(database_url: str) -> None:
    """Raises `UnsuitableServer` if the database was never migrated."""
    if not await has_schema(database_url):
        raise UnsuitableServer("the database is empty: run `rollbook migrate` first")


async def has_schema(database_url: str) -> bool:
    """Whether the database was ever migrated. Raises `UnsuitableServer`."""
    try:
        async with await _connect(database_url) as session:
            found = await session.execute("SELECT to_regclass('subject_keys')::text")
            return await found.fetchone() != (None,)
    except psycopg.Error as error:
        raise _unreachable(error) from error


async def _is_pooled(session: Connection, database_url: str) -> bool:
    """Whether a setting of this session can be lost in its next transaction.

    Through a proxy, the backend's process number differs from the one at connect. Then a second
    session takes a server connection, most likely ours, and our setting is read again.
    """
    found = await (await session.execute("SELECT pg_backend_pid()")).fetchone()
    if found == (session.info.backend_pid,):
        return False
    mark = uuid4().hex
    await session.execute("SELECT set_config('rollbook.probe', %s, false)", [mark])
    try:
        async with (
            await _connect(database_url) as other,
            answered_within(PROXY_SECONDS, other),
            answered_within(PROXY_SECONDS, session),
            other.transaction(),
        ):
            await other.execute("SELECT 1")
            setting = await session.execute("SELECT current_setting('rollbook.probe', true)")
            return await setting.fetchone() != (mark,)
    except psycopg.OperationalError:
        return True  # the proxy has too few server connections for two sessions


def _unreachable(error: psycopg.Error) -> UnsuitableServer:
    return UnsuitableServer(f"cannot reach the database: {' '.join(str(error).split())}")


async def _connect(database_url: str) -> Connection:
    """A plain connection: some proxies refuse settings and prepared statements."""
    return await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
    )
