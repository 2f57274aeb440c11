"""Brings a database to the newest schema, one process at a time."""

import asyncio
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_VERSIONS = Path(__file__).parent / "versions"
_LOCK = (1383034987, 2)
_POLL_SECONDS = 0.1
_LOCK_TIMEOUT = "10s"


class MigrationBusy(Exception):
    """Another process is migrating this database and did not finish in time."""


async def migrate(database_url: str, *, timeout_seconds: float = 120.0) -> None:
    """Run the missing migrations; several processes may call it at once.

    Raises `MigrationBusy` after `timeout_seconds`, and psycopg's errors if the server is away.
    """
    await asyncio.to_thread(_migrate, database_url, timeout_seconds)


def _migrate(database_url: str, timeout_seconds: float) -> None:
    with psycopg.connect(database_url, autocommit=True) as session:
        if _version(session) == newest():
            return
        # Polled outside a transaction: a session that waits inside one holds a snapshot, and
        # CREATE INDEX CONCURRENTLY in the lock's holder would wait for that snapshot for ever.
        deadline = time.monotonic() + timeout_seconds
        while not _try_lock(session):
            if time.monotonic() > deadline:
                raise MigrationBusy(MigrationBusy.__doc__)
            time.sleep(_POLL_SECONDS)
        # Alembic takes half a second to import, and at most starts the schema is up to date.
        from infrastructure.migrations.upgrade import upgrade  # noqa: PLC0415

        upgrade(lambda: psycopg.connect(_with_lock_timeout(database_url)))


def newest() -> str:
    """The number of the last migration, from the file names."""
    return max(file.name for file in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


def _with_lock_timeout(database_url: str) -> str:
    """`database_url` for sessions that wait at most 10 s for a table lock."""
    options = conninfo_to_dict(database_url).get("options") or ""
    return make_conninfo(database_url, options=f"-c lock_timeout={_LOCK_TIMEOUT} {options}".strip())


def _try_lock(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK).fetchone()
    return row is not None and bool(row[0])


def _version(session: psycopg.Connection) -> str | None:
    """The number of the database's last migration, None if it has none."""
    found = session.execute("SELECT to_regclass('alembic_version')").fetchone()
    if found is None or found[0] is None:
        return None
    row = session.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row is not None else None
