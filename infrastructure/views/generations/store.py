"""The generations of the views in Postgres: one builder per projection, under an advisory lock."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import psycopg

from application.context import TENANT
from application.errors import Unavailable
from application.projector.generations import RebuildUnderWay
from application.projector.view_store import Slot
from infrastructure.leadership import lock_key
from infrastructure.postgres import Connection, connect
from infrastructure.views.generations.build import APPLICATION, PostgresBuild
from infrastructure.views.generations.builds import begun, resumed
from infrastructure.views.generations.drop import drop
from infrastructure.views.generations.switch import PostgresSwitch
from infrastructure.views.sql.errors import translate_errors
from projections.projection import Projection, V

# The server ends the session of a crashed builder in less time.
_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2

_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
# A crash loses a batch together with the record of it, so the batch is done again.
_SETTINGS: Final = """
SELECT set_config('synchronous_commit', 'off', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_OTHERS: Final = """
SELECT generation FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND served_at IS NULL
  AND state <> 'dropped' AND generation <> %(kept)s"""
_FINISHED: Final = """
SELECT result FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND built_by = %(by)s
  AND served_at IS NOT NULL AND result IS NOT NULL"""


class PostgresGenerations:
    """See `Generations`. The builder holds an advisory lock, which a crash releases."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    @asynccontextmanager
    async def build(self, projection: Projection[V], by: str) -> AsyncGenerator[PostgresBuild[V]]:
        """See `Generations.build`."""
        async with self._connected() as connection:
            await _lock(connection, build_lock(projection.name))
            await connection.execute(_SETTINGS)
            progress = await resumed(connection, projection, by)
            kept = 0 if progress is None else progress.slot.generation
            given = {"tenant": TENANT, "name": projection.name, "kept": kept}
            others = await (await connection.execute(_OTHERS, given)).fetchall()
            for (generation,) in others:
                await drop(self._database_url, projection.name, generation)
            if progress is None:
                progress = await begun(connection, projection, by)
            yield PostgresBuild(self._database_url, connection, progress)

    def switch(self, slot: Slot[Any]) -> AbstractAsyncContextManager[PostgresSwitch[Any]]:
        """See `Generations.switch`."""
        return PostgresSwitch[Any].open(self._database_url, slot)

    async def drop(self, slot: Slot[Any]) -> None:
        """See `Generations.drop`."""
        try:
            await drop(self._database_url, slot.projection.name, slot.generation)
        except (psycopg.OperationalError, OSError) as error:
            raise Unavailable from error

    async def finished(self, projection: Projection[Any], by: str) -> Mapping[str, Any] | None:
        """See `Generations.finished`."""
        async with self._connected() as connection:
            given = {"tenant": TENANT, "name": projection.name, "by": by}
            row = await (await connection.execute(_FINISHED, given)).fetchone()
        return None if row is None else row[0]

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Connection]:
        try:
            connection = await connect(self._database_url, APPLICATION)
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        async with connection:
            with translate_errors(connection):
                yield connection


def build_lock(projection: str) -> int:
    """The advisory lock that the builder of a generation holds."""
    return lock_key(f"build {TENANT}/{projection}")


async def _lock(connection: Connection, key: int) -> None:
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    while True:
        row = await (await connection.execute(_TRY_LOCK, (key,))).fetchone()
        if row is not None and row[0]:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise RebuildUnderWay(RebuildUnderWay.__doc__)
        await asyncio.sleep(_POLL_SECONDS)
