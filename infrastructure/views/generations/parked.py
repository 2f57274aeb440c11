"""Streams that are parked in a new generation, compared with the serving one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.context import TENANT
from application.projector.fold import counted
from application.projector.generations import MAX_PARKED, StreamsParked
from application.projector.view_store import Slot
from domain.user.events import UserErased
from infrastructure.postgres import Connection
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.statements import counter_rows, run, statements_of
from projections.projection import V

_PARKED: Final = """
SELECT n.stream, n.version, o.version
FROM (SELECT stream, version FROM parked
      WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(new)s
      ORDER BY stream LIMIT %(limit)s) n
LEFT JOIN LATERAL (
    SELECT version FROM parked
    WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(old)s
      AND stream = n.stream) o ON true
ORDER BY n.stream"""
# The serving view of a person who is erased in the new generation already still has the data.
_ERASED: Final = """
SELECT DISTINCT originator_id FROM stored_events
WHERE originator_id = ANY(%(streams)s) AND topic = %(erased)s AND notification_id >
    (SELECT position FROM checkpoints
     WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(old)s
       AND partition = 0)"""
_TAKE_OVER: Final = """
UPDATE parked n
SET version = o.version, position = o.position, event_id = o.event_id, error = o.error,
    parked_at = o.parked_at, retry_at = o.retry_at, tries = o.tries
FROM parked o
WHERE o.tenant = n.tenant AND o.projection = n.projection AND o.generation = %(old)s
  AND o.stream = n.stream
  AND n.tenant = %(tenant)s AND n.projection = %(name)s AND n.generation = %(new)s
  AND n.stream = ANY(%(streams)s)"""

# The cache of the new generation may have other rows of these streams.
_COUNT_REPAIR: Final = """
UPDATE checkpoints SET repairs = repairs + 1
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(new)s"""


class ParkedStreams(Struct, frozen=True):
    """The streams parked in a new generation.

    `both`: parked in the serving one, too; `earlier`: those of them whose first parked event is an
    earlier one in the new generation; `newly`: not parked in the serving one.
    """

    both: Sequence[UUID]
    earlier: Sequence[UUID]
    newly: Sequence[UUID]


async def parked_in_both(connection: Connection, given: Mapping[str, Any]) -> ParkedStreams:
    """Compare the generations `old` and `new` of the projection `name` of a tenant.

    Raises `StreamsParked` if more are parked in the new one than a build may have: so a comparison,
    and the switch that holds two checkpoints, cost no more than for these.
    """
    limited = {**given, "limit": MAX_PARKED + 1}
    rows = await (await connection.execute(_PARKED, limited)).fetchall()
    if len(rows) > MAX_PARKED:
        raise StreamsParked([stream for stream, _, _ in rows])
    return ParkedStreams(
        [stream for stream, _, before in rows if before is not None],
        [stream for stream, version, before in rows if before is not None and version < before],
        [stream for stream, _, before in rows if before is None],
    )


async def take_over_parked(
    connection: Connection, old: Slot[V], new: Slot[V], streams: Sequence[UUID]
) -> None:
    """Replace the views of streams that the new generation parked earlier by the serving ones.

    Both checkpoints are locked by the transaction.
    """
    if not streams:
        return
    given: dict[str, Any] = {
        "tenant": TENANT,
        "name": new.projection.name,
        "old": old.generation,
        "new": new.generation,
        "streams": list(streams),
        "erased": UserErased.topic,
    }
    erased = {row[0] for row in await (await connection.execute(_ERASED, given)).fetchall()}
    wanted = {"streams": [stream for stream in streams if stream not in erased]}
    served, built = [
        RowFormat(slot).entries(
            await (await run(connection, statements_of(slot).entries, wanted)).fetchall()
        )
        for slot in (old, new)
    ]
    given["streams"] = list(served)
    statements = statements_of(new)
    rows = RowFormat(new).to_json(served, incomplete=bool(old.lacks))
    await run(connection, statements.store, {"rows": rows})
    counters = counted(new.projection, built, served)
    if counters and statements.count is not None:
        await run(connection, statements.count, {"rows": counter_rows(counters)})
    await connection.execute(_TAKE_OVER, given)
    await connection.execute(_COUNT_REPAIR, given)
