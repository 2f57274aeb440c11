"""Whether a Postgres server can hold a log: reachable, new enough, and not behind a pooling proxy."""

from typing import Final
from uuid import uuid4

import psycopg

from infrastructure.postgres import CONNECT_SECONDS, Connection, answered_within

OLDEST: Final = 15
PROXY_SECONDS: Final = 2.0


class UnsuitableServer(Exception):
    """Rollbook cannot run on this server; the message is one line for people."""


async def check_server(database_url: str) -> str:
    """The server's version. Raises `UnsuitableServer`."""
    try:
        async with await _connect(database_url) as session:
            version = session.info.server_version // 10_000
            if version < OLDEST:
                raise UnsuitableServer(f"the database is Postgres {version}, {OLDEST} is needed")
            if await _is_pooled(session, database_url):
                raise UnsuitableServer(
                    "the database is behind a proxy that pools transactions: "
                    "locks and LISTEN need a direct connection"
                )
            return session.info.parameter_status("server_version") or str(version)
    except psycopg.Error as error:
        raise _unreachable(error) from error


async def check_schema(database_url: str) -> None:
    """Raises `UnsuitableServer` where the database was never migrated."""
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
    """Whether what this session sets can be gone in its next transaction.

    A server names the process it gave us; a proxy names one that is not the server's. Then a
    second session takes a server connection, most likely ours, and ours is looked at again.
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
            asked = await session.execute("SELECT current_setting('rollbook.probe', true)")
            return await asked.fetchone() != (mark,)
    except psycopg.OperationalError:
        return True  # the proxy has too few server connections for both of us


def _unreachable(error: psycopg.Error) -> UnsuitableServer:
    return UnsuitableServer(f"cannot reach the database: {' '.join(str(error).split())}")


async def _connect(database_url: str) -> Connection:
    """With nothing of ours in it: a proxy refuses settings and prepared statements first."""
    return await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
    )
