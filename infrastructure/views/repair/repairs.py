"""Repairs of a generation in Postgres: one session holds the repair lock and does all repairs."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self
from uuid import UUID

import psycopg

from application.context import TENANT
from application.errors import Unavailable
from application.projector.view_store import Slot
from infrastructure.leadership import lock_key
from infrastructure.postgres import Connection, answered_within, connect, is_broken
from infrastructure.views.repair.locked_stream import (
    PostgresLockedStream,
    count,
    enqueue_refresh,
    lock_checkpoint,
    lock_stream,
    ring,
)
from infrastructure.views.sql.errors import translate_errors
from projections.projection import V

APPLICATION: Final = "rollbook repair"
# The server ends the session of a killed worker in less time.
_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_SECONDS: Final = 30.0
# Used instead of a stream if only the counters have changed.
_NO_STREAM: Final = UUID(int=0)

# A process that freezes while it holds a checkpoint must not block the projector for long. Between
# two repairs there may be hours.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('idle_session_timeout', '0', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"


class PostgresRepairs:
    """See `Repairs`. The session that holds the repair lock does all repairs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, slots: Sequence[Slot[Any]]) -> AsyncGenerator[Self]:
        """See `OpenRepairs`."""
        try:
            connection = await connect(database_url, APPLICATION)
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        async with connection:
            with translate_errors(connection):
                await connection.execute(_SETTINGS)
                await _lock(connection, repair_lock(slots[0]))
            yield cls(connection)

    @asynccontextmanager
    async def lock(self, slot: Slot[V], stream: UUID) -> AsyncGenerator[PostgresLockedStream[V]]:
        """See `Repairs.lock`."""
        async with self._transaction():
            yield await lock_stream(self._connection, slot, stream)

    async def add(self, slot: Slot[Any], differences: Mapping[str, int]) -> None:
        """See `Repairs.add`."""
        async with self._transaction():
            await self._connection.execute("BEGIN")
            # Pages update counters in another order: without the lock there could be a deadlock.
            await lock_checkpoint(self._connection, slot)
            await count(self._connection, slot, differences)
            await enqueue_refresh(self._connection, slot, _NO_STREAM)
            await ring(self._connection, slot)
            await self._connection.execute("COMMIT")

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        """Rolls back at the end if the block has not committed."""
        connection = self._connection
        async with answered_within(_SECONDS, connection):
            try:
                with translate_errors(connection):
                    yield
            finally:
                if not is_broken(connection):
                    with suppress(psycopg.Error):
                        await connection.rollback()


def repair_lock(slot: Slot[Any]) -> int:
    """The advisory lock for repairs of the slot's generation."""
    return lock_key(f"repair {TENANT}/{slot.projection.name}/{slot.generation}")


async def _lock(connection: Connection, key: int) -> None:
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    while True:
        row = await (await connection.execute(_TRY_LOCK, (key,))).fetchone()
        if row is not None and row[0]:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable
        await asyncio.sleep(_POLL_SECONDS)
