"""Finds generations that are no longer needed, and drops them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from application.context import TENANT
from application.errors import Unavailable
from infrastructure.postgres import Connection, connect
from infrastructure.views.generations.drop import APPLICATION, drop
from infrastructure.views.generations.store import build_lock
from infrastructure.views.sql.errors import translate_errors

# An active builder stores a batch, or its job is retried, in much less than 10 minutes.
_DUE: Final = """
SELECT projection, generation, served_at IS NULL AND state <> 'dropping'
FROM generations g
WHERE tenant = %(tenant)s AND state <> 'dropped'
  AND NOT EXISTS (SELECT FROM projections p WHERE p.tenant = g.tenant
                  AND p.name = g.projection AND p.generation = g.generation)
  AND (state = 'dropping' OR drop_after < clock_timestamp()
       OR served_at IS NULL AND touched_at < clock_timestamp() - interval '10 minutes')
ORDER BY projection, generation"""
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s)"


class PostgresExpiredGenerations:
    """See `ExpiredGenerations`."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def drop_expired(self) -> Sequence[str]:
        """See `ExpiredGenerations.drop_expired`."""
        dropped: list[str] = []
        async with self._connection() as connection:
            cursor = await connection.execute(_DUE, {"tenant": TENANT})
            for projection, generation, unfinished in await cursor.fetchall():
                if unfinished and not await _is_unowned(connection, projection):
                    continue
                if await drop(self._database_url, projection, generation):
                    dropped.append(f"{projection}/{generation}")
        return dropped

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        try:
            connection = await connect(self._database_url, APPLICATION)
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        async with connection:
            with translate_errors(connection):
                yield connection


async def _is_unowned(connection: Connection, projection: str) -> bool:
    """Whether no builder runs: a builder holds its lock, also while it makes an index."""
    key = build_lock(projection)
    row = await (await connection.execute(_TRY_LOCK, (key,))).fetchone()
    if row is None or not row[0]:
        return False
    await connection.execute(_UNLOCK, (key,))
    return True
