"""Drops generations that do not serve: first the projectors stop, then the tables are dropped."""

import asyncio
from typing import Any, Final

from psycopg.errors import LockNotAvailable

from application.context import TENANT
from infrastructure.database import Database
from infrastructure.leadership import IS_LED, Lead
from infrastructure.postgres import Connection
from infrastructure.views.sql.slot_lock import lock_of
from infrastructure.views.sql.tables import table_names

# Leaders check once a second whether they still follow the generation.
_RELEASE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
# All other sessions queue behind a session that waits for a table's lock, so it waits only briefly.
_SETTINGS: Final = """
SELECT set_config('lock_timeout', '200ms', true),
       set_config('idle_in_transaction_session_timeout', '5s', true)"""
_MAX_TRIES: Final = 50

_DROPPING: Final = f"""
WITH marked AS (
    UPDATE generations SET state = 'dropping', touched_at = clock_timestamp()
    WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
      AND state <> 'dropped' AND (%(leader)s::int IS NULL OR {IS_LED})
      AND NOT EXISTS (SELECT FROM projections p WHERE p.tenant = %(tenant)s
                      AND p.name = %(name)s AND p.generation = %(generation)s)
    RETURNING generation)
SELECT pg_notify('rollbook_bells', 'generations') FROM marked"""
_SERVING: Final = """
SELECT generation FROM projections WHERE tenant = %(tenant)s AND name = %(name)s FOR UPDATE"""
_LED: Final = """
SELECT EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (classid::bigint << 32 | objid::bigint) = %(lock)s)"""
# In pieces, and before the tables are locked: there may be many.
_DELETE_PARKED: Final = """
DELETE FROM parked WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM parked
    WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
    LIMIT 5000))"""
# Deleted together with the tables: an erasure waits for the checkpoints while the tables exist.
_DELETE_RECORDS: Final = (
    """
DELETE FROM checkpoints
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s""",
    """
DELETE FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s""",
    """
UPDATE generations SET state = 'dropped', touched_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s""",
)


async def drop(
    database: Database, projection: str, generation: int, *, lead: Lead | None = None
) -> bool:
    """Drop a generation that does not serve; with `lead`, only under it. Raises `Unavailable`.

    Returns False if other sessions kept its tables locked: try again later.
    """
    async with database.session("housekeeping") as connection:
        fence = lead.fence if lead is not None else {"leader": None, "lead": None}
        given = {"tenant": TENANT, "name": projection, "generation": generation, **fence}
        async with connection.transaction():
            # Locks the row, so that no switch makes it serve in the meantime.
            await connection.execute(_SERVING, given)
            row = await (await connection.execute(_DROPPING, given)).fetchone()
        if row is None:
            return True
        await _wait_for_release(connection, lock_of(projection, generation))
        while (await connection.execute(_DELETE_PARKED, given)).rowcount:
            continue
        for _ in range(_MAX_TRIES):
            try:
                await _drop(connection, given)
            except LockNotAvailable:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return True
    return False


async def _wait_for_release(connection: Connection, lock: int) -> None:
    """Wait for its leader to stop; one that stays does no harm: without a checkpoint it ends."""
    deadline = asyncio.get_running_loop().time() + _RELEASE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        row = await (await connection.execute(_LED, {"lock": lock})).fetchone()
        if row is not None and not row[0]:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _drop(connection: Connection, given: dict[str, Any]) -> None:
    async with connection.transaction():
        await connection.execute(_SETTINGS)
        for name in table_names(given["name"], given["generation"]):
            await connection.execute(f"DROP TABLE IF EXISTS {name}".encode())
        for statement in _DELETE_RECORDS:
            await connection.execute(statement, given)
