"""Compares two generations, then switches: queries read the serving generation from one row."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Generic

import msgspec

from application.context import TENANT
from application.errors import Unavailable
from application.projector.generations import BuildLost, Comparison, StreamsParked
from application.projector.view_store import Slot
from infrastructure.database import Database
from infrastructure.leadership import IS_LED, Lead
from infrastructure.postgres import Connection
from infrastructure.views.generations.compare import compare
from infrastructure.views.generations.parked import parked_in_both, take_over_parked
from infrastructure.views.generations.serving import PostgresServingShapes
from infrastructure.views.sql.errors import translate_errors
from projections.projection import V

# While the serving generation is frozen, clients that read their own writes wait.
_FREEZE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.01

_POSITIONS: Final = """
SELECT coalesce((SELECT position FROM checkpoints
                 WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(old)s), 0),
       (SELECT position FROM checkpoints
        WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(new)s)"""
_BEGIN: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '5s', true),
       set_config('lock_timeout', '2s', true)"""
_SERVING: Final = """
SELECT generation FROM projections WHERE tenant = %(tenant)s AND name = %(name)s FOR UPDATE"""
_LOCK_CHECKPOINT: Final = """
SELECT position FROM checkpoints
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(held)s
FOR UPDATE"""
_SERVE: Final = f"""
UPDATE generations
SET served_at = clock_timestamp(), retired_at = NULL, drop_after = NULL,
    result = coalesce(%(result)s::jsonb, result), touched_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(new)s
  AND state = 'following' AND (%(leader)s::int IS NULL OR {IS_LED})"""
# Generations that served before the former one are no longer followed. A query that began before
# the switch may still read one, so they are dropped a minute after they served.
_EXPIRE: Final = """
UPDATE generations
SET state = 'dropping', drop_after = retired_at + interval '60 seconds',
    touched_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = %(name)s AND state = 'following'
  AND retired_at IS NOT NULL AND generation <> %(old)s"""
_RETIRE: Final = """
UPDATE generations
SET retired_at = clock_timestamp(), drop_after = clock_timestamp() + interval '24 hours'
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(old)s"""
# Waiting callers check again after the switch: the position may already be reached.
_SWITCH: Final = """
UPDATE projections SET generation = %(new)s WHERE tenant = %(tenant)s AND name = %(name)s"""
_RING: Final = """
SELECT pg_notify('rollbook_bells', 'generations'), pg_notify('rollbook_bells', 'view:' || %(name)s)"""


class PostgresSwitch(Generic[V]):
    """See `Switch`."""

    def __init__(
        self, connection: Connection, old: Slot[V], new: Slot[V], lead: Lead | None
    ) -> None:
        self._connection = connection
        self._old = old
        self._new = new
        self._given: dict[str, Any] = {
            "tenant": TENANT,
            "name": new.projection.name,
            "old": old.generation,
            "new": new.generation,
            **(lead.fence if lead is not None else {"leader": None, "lead": None}),
        }

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database: Database, new: Slot[V], lead: Lead | None = None
    ) -> AsyncGenerator["PostgresSwitch[V]"]:
        """A switch from the generation that serves now; with `lead`, only under it.

        Raises `Unavailable`.
        """
        old = await PostgresServingShapes(database).slot(new.projection)
        async with database.session("rebuild") as connection:
            yield cls(connection, old, new, lead)

    @property
    def replaced(self) -> int:
        return self._old.generation

    async def gap(self) -> int:
        with translate_errors(self._connection):
            old, new = await _one(self._connection, _POSITIONS, self._given)
        if new is None:
            raise BuildLost(BuildLost.__doc__)
        return old - new

    async def compare(self) -> Comparison:
        with translate_errors(self._connection):
            return await compare(self._connection, self._old, self._new)

    async def switch(self, result: Mapping[str, Any] | None, *, with_parked: bool = False) -> None:
        if self._old == self._new:
            raise BuildLost(BuildLost.__doc__)
        connection = self._connection
        given = {**self._given, "result": None}
        if result is not None:
            given["result"] = msgspec.json.encode(result).decode()
        with translate_errors(connection):
            async with connection.transaction():
                await connection.execute(_BEGIN)
                if (await _one(connection, _SERVING, given))[0] != given["old"]:
                    raise BuildLost(BuildLost.__doc__)
                # The serving generation is frozen, so that the new one can catch up.
                await connection.execute(_LOCK_CHECKPOINT, given | {"held": given["old"]})
                await self._wait_until_caught_up()
                # From here on no projector parks an event in the new generation.
                await connection.execute(_LOCK_CHECKPOINT, given | {"held": given["new"]})
                if not with_parked:
                    parked = await parked_in_both(connection, given)
                    if parked.newly:
                        raise StreamsParked(parked.newly)
                    await take_over_parked(connection, self._old, self._new, parked.earlier)
                if (await connection.execute(_SERVE, given)).rowcount != 1:
                    raise BuildLost(BuildLost.__doc__)
                for statement in (_EXPIRE, _RETIRE, _SWITCH, _RING):
                    await connection.execute(statement, given)

    async def _wait_until_caught_up(self) -> None:
        deadline = asyncio.get_running_loop().time() + _FREEZE_SECONDS
        while await self.gap() > 0:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable
            await asyncio.sleep(_POLL_SECONDS)


async def _one(connection: Connection, statement: str, given: Mapping[str, Any]) -> Any:
    row = await (await connection.execute(statement.encode(), given)).fetchone()
    assert row is not None
    return row
