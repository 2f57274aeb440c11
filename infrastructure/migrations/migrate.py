"""Brings a database to the newest schema, one process at a time, without a queue behind it."""

import asyncio
import time
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.migrations.lock_holders import LockHolders

_VERSIONS: Final = Path(__file__).parent / "versions"
_LOCK: Final = (1383034987, 2)
_POLL_SECONDS: Final = 0.1
# Every other session queues behind a session that waits for a table's lock.
_LOCK_TIMEOUT: Final = "500ms"
# Between two statements a migration takes milliseconds.
_FROZEN: Final = "5s"
_SETTINGS: Final = """
SELECT set_config('idle_session_timeout', %(frozen)s, false),
       set_config('idle_in_transaction_session_timeout', %(frozen)s, false)"""

# A waiter ends an autovacuum in its way after this time, by default after a second.
_END_AUTOVACUUM: Final = """
SELECT set_config('deadlock_timeout', '200ms', false)
WHERE has_parameter_privilege('deadlock_timeout', 'SET')"""


class MigrationFailed(Exception):
    """The schema is older than this release; the message is one line for people, without values."""


class MigrationBusy(MigrationFailed):
    """Another process is migrating this database and did not finish in time."""


async def migrate(database_url: str, *, timeout_seconds: float = 120.0) -> None:
    """Run the missing migrations; several processes may call it at once.

    A migration that does not get a lock within half a second gives up, so that writers can go on,
    and is tried again when the sessions that held locks have ended their transactions.

    Raises `MigrationBusy` after `timeout_seconds`, `MigrationFailed` if a statement fails, and
    psycopg's errors if the server is away.
    """
    await asyncio.to_thread(_migrate, database_url, timeout_seconds)


def _migrate(database_url: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        with _connect(database_url) as session:
            # A newer schema is that of a newer release, which is being deployed.
            if (_version(session) or "") >= newest():
                return
            try:
                _migrate_on(session, deadline)
            except psycopg.OperationalError:
                # The server has ended the session of a process that was frozen for some seconds.
                if not session.broken or time.monotonic() > deadline:
                    raise
            else:
                return


def _migrate_on(session: psycopg.Connection, deadline: float) -> None:
    """Migrate on the session that holds the lock: with its lock, a session also loses its work."""
    # Polled outside a transaction: a session that waits inside one holds a snapshot, and
    # CREATE INDEX CONCURRENTLY in the lock's holder would wait for that snapshot for ever.
    while not _try_lock(session):
        if time.monotonic() > deadline:
            raise MigrationBusy(MigrationBusy.__doc__)
        time.sleep(_POLL_SECONDS)
    # Alembic takes half a second to import, and at most starts the schema is up to date.
    from infrastructure.migrations.upgrade import upgrade  # noqa: PLC0415

    while True:
        try:
            upgrade(session)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            _wait_for_locks(session, deadline)
        except psycopg.Error as error:
            if error.sqlstate is None or session.broken:
                raise
            raise MigrationFailed(_failure(error, _version(session))) from None
        else:
            return


def newest() -> str:
    """The number of the last migration, from the file names."""
    return max(file.name for file in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


def _wait_for_locks(session: psycopg.Connection, deadline: float) -> None:
    """Wait until all transactions that hold a lock now have ended. Raises `MigrationBusy`."""
    holders = LockHolders.now(session)
    while True:
        # Also after short transactions only: writers get more time than the migration.
        time.sleep(_POLL_SECONDS)
        holders = holders.still(session)
        if not holders:
            return
        if time.monotonic() > deadline:
            raise MigrationBusy(
                f"a lock that a migration needs is held by {holders.names(session)}"
            )


def _connect(database_url: str) -> psycopg.Connection:
    """A connection that waits only briefly for a table lock, and that the server ends if we freeze."""
    given = conninfo_to_dict(database_url).get("options") or ""
    options = f"{given} -c lock_timeout={_LOCK_TIMEOUT}".strip()
    connection = psycopg.connect(make_conninfo(database_url, options=options), autocommit=True)
    connection.execute(_SETTINGS, {"frozen": _FROZEN})
    connection.execute(_END_AUTOVACUUM)
    return connection


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


def _failure(error: psycopg.Error, version: str | None) -> str:
    """Without the server's message and the statement, which may quote rows."""
    diag = error.diag
    names = (diag.table_name, diag.column_name, diag.constraint_name)
    place = f" at {' '.join(filter(None, names))}" if any(names) else ""
    kind = f"{type(error).__name__} ({error.sqlstate}){place}"
    return f"the migration after {version or 'an empty database'} failed: {kind}"
