"""Repairs of a generation in Postgres: one session has the right to them, and does all of them."""

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
    have_copied,
    hold_checkpoint,
    lock_stream,
    ring,
)
from infrastructure.views.sql.errors import translate_errors
from projections.projection import V

APPLICATION: Final = "rollbook repair"
# The session of a worker that was killed is gone in less.
_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_SECONDS: Final = 30.0
# In the place of a stream, where the counters alone have changed.
_NO_STREAM: Final = UUID(int=0)

# Whoever is frozen while it holds a checkpoint must not keep the projector waiting for long. But
# between two repairs there may be hours.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('idle_session_timeout', '0', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"


class PostgresRepairs:
    """See `Repairs`. The right ends with the session: what is done on it is done with the right."""

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
    async def hold(self, slot: Slot[V], stream: UUID) -> AsyncGenerator[PostgresLockedStream[V]]:
        """See `Repairs.hold`."""
        async with self._transaction():
            yield await lock_stream(self._connection, slot, stream)

    async def add(self, slot: Slot[Any], differences: Mapping[str, int]) -> None:
        """See `Repairs.add`."""
        async with self._transaction():
            await self._connection.execute("BEGIN")
            # Pages change counters in an order of their own: two at once could wait for each other.
            await hold_checkpoint(self._connection, slot)
            await count(self._connection, slot, differences)
            await have_copied(self._connection, slot, _NO_STREAM)
            await ring(self._connection, slot)
            await self._connection.execute("COMMIT")

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        """What is not committed at its end is rolled back."""
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
    """The advisory lock that whoever repairs the slot's generation holds."""
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
