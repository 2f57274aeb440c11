"""Compares two generations row by row in the server: version, chain, and all columns of both."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from psycopg import IsolationLevel, sql
from sqlalchemy import Table

from application.context import TENANT
from application.projector.generations import BuildLost, Comparison
from application.projector.view_store import Slot
from domain.user.events import UserErased
from infrastructure.postgres import Connection
from infrastructure.views.generations.parked import parked_in_both
from infrastructure.views.sql.tables import tables_of

# Under load the two are rarely at the same position, and only for a short time.
_TIMEOUT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_MAX_STREAMS: Final = 100
# Both tables are read completely, and sorted or hashed in memory if they fit.
_SETTINGS: Final = "SELECT set_config('work_mem', '64MB', true)"

_POSITIONS: Final = """
SELECT min(position), max(position), count(*) FROM checkpoints
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation IN (%(old)s, %(new)s)"""
# Streams that changed between the two positions differ legitimately: they count as `moving`. So do
# people erased after both: the new generation was read without their data.
_ROWS: Final = """
WITH moving AS MATERIALIZED (
    SELECT DISTINCT originator_id AS id FROM stored_events
    WHERE notification_id > %(low)s AND (notification_id <= %(high)s OR topic = %(erased)s)
), compared AS (
    SELECT id, a.shown AS before, b.shown AS after,
           ({a}) IS DISTINCT FROM ({b}) AND id NOT IN (SELECT id FROM moving)
           AND id <> ALL(%(earlier)s) AS differs
    FROM {old} AS a FULL JOIN {new} AS b USING (id)
)
SELECT count(*) FILTER (WHERE before), count(*) FILTER (WHERE after),
       count(*) FILTER (WHERE differs),
       (array_agg(id ORDER BY id) FILTER (WHERE differs))[1:%(most)s],
       (SELECT count(*) FROM moving)
FROM compared"""
_COUNTERS: Final = """
SELECT counter
FROM {old} AS a FULL JOIN {new} AS b USING (counter)
WHERE coalesce(a.value, 0) <> coalesce(b.value, 0)
ORDER BY counter LIMIT %(most)s"""


async def compare(connection: Connection, old: Slot[Any], new: Slot[Any]) -> Comparison:
    """Both generations in one snapshot, if possible at the same position. Raises `BuildLost`."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    try:
        while True:
            in_time = asyncio.get_running_loop().time() < deadline
            async with connection.transaction():
                found = await _try(connection, old, new, same_position=in_time)
            if found is not None:
                return found
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await connection.set_isolation_level(None)


async def _try(
    connection: Connection, old: Slot[Any], new: Slot[Any], *, same_position: bool
) -> Comparison | None:
    given: dict[str, Any] = {
        "tenant": TENANT,
        "name": new.projection.name,
        "old": old.generation,
        "new": new.generation,
        "erased": UserErased.topic,
        "most": _MAX_STREAMS,
    }
    low, high, generations = await _one(connection, sql.SQL(_POSITIONS), given)
    if generations != 2:
        raise BuildLost(BuildLost.__doc__)
    if low != high and same_position:
        return None
    await connection.execute(_SETTINGS)
    parked = await parked_in_both(connection, given)
    given |= {"low": low, "high": high, "earlier": list(parked.earlier)}
    before, after = (tables_of(slot) for slot in (old, new))
    shown = await _one(connection, _formatted(_ROWS, before.rows, after.rows), given)
    counters: list[str] | None = None
    if before.counters is None or after.counters is None:
        counters = []
    elif low == high and not parked.earlier:
        statement = _formatted(_COUNTERS, before.counters, after.counters)
        cursor = await connection.execute(statement, given)
        counters = [name for (name,) in await cursor.fetchall()]
    return Comparison(
        before=shown[0],
        after=shown[1],
        differing=shown[2],
        streams=shown[3] or (),
        moving=shown[4],
        counters=counters,
        parked=parked.both[:_MAX_STREAMS],
        newly_parked=parked.newly[:_MAX_STREAMS],
    )


def _formatted(text: str, old: Table, new: Table) -> sql.Composed:
    names = [column.name for column in new.columns if column.name in old.columns]
    return sql.SQL(text).format(  # pyright: ignore[reportArgumentType]
        a=sql.SQL(", ").join(sql.Identifier("a", name) for name in names),
        b=sql.SQL(", ").join(sql.Identifier("b", name) for name in names),
        old=sql.Identifier(old.name),
        new=sql.Identifier(new.name),
    )


async def _one(connection: Connection, statement: Any, given: Mapping[str, Any]) -> Any:
    row = await (await connection.execute(statement, given)).fetchone()
    assert row is not None
    return row
