"""All that is stored of projections, also of those that no release has any more."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier

from application.context import TENANT
from application.projector.unused import StillProjected, TablesInUse
from infrastructure.database import Database
from infrastructure.postgres import Connection
from infrastructure.views.generations.store import build_lock
from infrastructure.views.sql.slot_lock import lock_of
from infrastructure.views.sql.tables import table_names

_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
# All other sessions queue behind a session that waits for a table's lock, so it waits only briefly.
_SETTINGS: Final = """
SELECT set_config('lock_timeout', '200ms', true),
       set_config('idle_in_transaction_session_timeout', '5s', true)"""

_NAMES: Final = """
SELECT name FROM projections WHERE tenant = %(tenant)s
UNION SELECT projection FROM checkpoints WHERE tenant = %(tenant)s
UNION SELECT projection FROM generations WHERE tenant = %(tenant)s AND state <> 'dropped'
ORDER BY 1"""
_GENERATIONS: Final = """
SELECT generation FROM projections WHERE tenant = %(tenant)s AND name = %(name)s
UNION SELECT generation FROM checkpoints WHERE tenant = %(tenant)s AND projection = %(name)s
UNION SELECT generation FROM generations WHERE tenant = %(tenant)s AND projection = %(name)s"""
_IS_LED: Final = """
SELECT EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (classid::bigint << 32 | objid::bigint) = ANY(%(locks)s))"""
# In pieces, and before the tables are locked: there may be many.
_PIECES: Final = tuple(
    f"""
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE tenant = %(tenant)s AND projection = %(name)s LIMIT 5000))"""
    for table in ("parked", "skipped")
)
# Together with the tables: an erasure waits for the positions while the tables exist.
_RECORDS: Final = (
    "DELETE FROM checkpoints WHERE tenant = %(tenant)s AND projection = %(name)s",
    "DELETE FROM generations WHERE tenant = %(tenant)s AND projection = %(name)s",
    "DELETE FROM projections WHERE tenant = %(tenant)s AND name = %(name)s",
    "SELECT pg_notify('rollbook_bells', 'generations'), pg_notify('rollbook_bells', 'view:' || %(name)s)",
)


class PostgresStoredProjections:
    """See `StoredProjections`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def names(self) -> Sequence[str]:
        rows = await self._database.rows(_NAMES, {"tenant": TENANT})
        return [name for (name,) in rows]

    async def drop(self, projection: str) -> bool:
        given = {"tenant": TENANT, "name": projection}
        deadline = asyncio.get_running_loop().time() + _SECONDS
        async with self._database.session("housekeeping") as connection:
            rows = await (await connection.execute(_GENERATIONS, given)).fetchall()
            generations = [generation for (generation,) in rows]
            if not generations:
                return False
            await _raise_if_led(connection, projection, generations)
            for statement in _PIECES:
                while (await connection.execute(statement.encode(), given)).rowcount:
                    continue
            while True:
                try:
                    await _drop(connection, given, generations)
                except LockNotAvailable:
                    if asyncio.get_running_loop().time() > deadline:
                        raise TablesInUse from None
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    return True


async def _raise_if_led(
    connection: Connection, projection: str, generations: Sequence[int]
) -> None:
    locks = [lock_of(projection, generation) for generation in generations]
    locks.append(build_lock(projection))
    row = await (await connection.execute(_IS_LED, {"locks": locks})).fetchone()
    if row is not None and row[0]:
        raise StillProjected(StillProjected.__doc__)


async def _drop(connection: Connection, given: dict[str, Any], generations: Sequence[int]) -> None:
    async with connection.transaction():
        await connection.execute(_SETTINGS)
        for generation in generations:
            for table in table_names(given["name"], generation):
                await connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(table)))
        for statement in _RECORDS:
            await connection.execute(statement.encode(), given)
