"""Checks a Postgres server: reachable, new enough, and not behind a transaction-pooling proxy."""

import re
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres import CONNECT_SECONDS, Connection, answered_within

MIN_VERSION: Final = 15
PROXY_SECONDS: Final = 2.0

_HOST: Final = re.compile(r"[\w.,-]+|[0-9a-fA-F:]+|/[^\s@]*")
# What the driver and servers say, in English, and what we say instead.
_REASONS: Final[Mapping[str, str]] = {
    "authentication failed": "it refuses the user or the password",
    "no password supplied": "it wants a password",
    "pg_hba.conf": "its pg_hba.conf refuses this client",
    "does not exist": "it has no such database or user",
    "connection refused": "nothing listens there",
    "no such file": "nothing listens there",
    "translate host name": "the name of its host is unknown",
    "resolve": "the name of its host is unknown",
    "timeout": "it does not answer",
    "starting up": "it is starting",
    "shutting down": "it is shutting down",
    "recovery mode": "it recovers from a crash",
    "too many": "it has no connection left",
    "connection slots": "it has no connection left",
    "certificate": "its certificate is refused",
    "ssl": "they do not agree about TLS",
    "conninfo": "ROLLBOOK_DATABASE_URL cannot be read",
    "connection string": "ROLLBOOK_DATABASE_URL cannot be read",
    "invalid": "ROLLBOOK_DATABASE_URL cannot be read",
}
# What the server reserves for superusers, and for others since Postgres 16, Rollbook cannot use.
_CONNECTIONS: Final = """
SELECT least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user))"""
_AHEAD: Final = """
SELECT extract(epoch FROM recorded_at - clock_timestamp())::float8
FROM stored_events ORDER BY notification_id DESC LIMIT 1"""


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
        raise _unreachable(database_url, error) from None


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
        raise _unreachable(database_url, error) from None


async def connections_allowed(database_url: str) -> int:
    """How many connections the server leaves to Rollbook. Raises `UnsuitableServer`."""
    try:
        async with await _connect(database_url) as session:
            row = await (await session.execute(_CONNECTIONS)).fetchone()
            assert row is not None
            return row[0]
    except psycopg.Error as error:
        raise _unreachable(database_url, error) from None


async def log_ahead_seconds(database_url: str) -> float:
    """How far the last event's time is ahead of the server's clock. Raises `UnsuitableServer`."""
    try:
        async with await _connect(database_url) as session:
            row = await (await session.execute(_AHEAD)).fetchone()
            return 0.0 if row is None else max(0.0, row[0])
    except psycopg.Error as error:
        raise _unreachable(database_url, error) from None


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


def _unreachable(database_url: str, error: psycopg.Error) -> UnsuitableServer:
    """Names the server and the reason in our words: the driver's text may quote parts of the URL."""
    text = str(error).lower()
    kind = type(error).__name__
    reason = next((ours for theirs, ours in _REASONS.items() if theirs in text), kind)
    return UnsuitableServer(f"cannot reach the database: {reason}{_place(database_url)}")


def _place(database_url: str) -> str:
    """Host and port, if the URL has them where they belong: a wrong URL puts a password there."""
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:
        return ""
    host, port = str(given.get("host", "")), str(given.get("port", ""))
    if _HOST.fullmatch(host) is None:
        return ""
    return f" ({host}:{port})" if port.isdecimal() else f" ({host})"


async def _connect(database_url: str) -> Connection:
    """A plain connection: some proxies refuse settings and prepared statements."""
    return await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
    )
