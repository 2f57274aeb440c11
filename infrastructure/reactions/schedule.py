"""The schedule of runs in Postgres: which run of a user is next, and which are given to the workers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from structlog import get_logger

from application.context import TENANT
from application.reactions.availability import Availability
from application.reactions.running import DISABLED
from infrastructure.database import Database
from infrastructure.jobs import queue
from infrastructure.postgres import Connection

PLACES: Final = 16
"""How many runs of a reaction are given to the workers at once."""
MAX_OUTAGES: Final = 3
"""After so many outages in a row a reaction waits, and then tries one run."""
# A page without runs is read again if a crash loses the move of the checkpoint, and a note that a
# worker has a reaction is made again.
UNSYNCED: Final = b"SELECT set_config('synchronous_commit', 'off', true)"

WHERE: Final = """
WHERE tenant = %(tenant)s AND projection = 'reactions' AND generation = 1 AND partition = 0"""
"""The checkpoint of the reactions."""

_SECONDS: Final = 5.0
_ACTOR: Final = "system:reactions"
_DISCARDED_AT_ONCE: Final = 1000

# The first checkpoint is the head: each reaction begins at the head of its time, or later.
BEGIN: Final = b"""
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
SELECT %(tenant)s, 'reactions', 1, 0, coalesce(max(notification_id), 0) FROM stored_events
ON CONFLICT DO NOTHING"""
_LOCK: Final = f"SELECT position FROM checkpoints {WHERE} FOR UPDATE".encode()
_SEEN: Final = b"""
UPDATE reactions SET seen_at = clock_timestamp()
WHERE tenant = %(tenant)s AND name = ANY (%(names)s::text[]) RETURNING name"""
_GIVE: Final = b"""
UPDATE reaction_runs AS run SET task = given.entry
FROM unnest(%(reactions)s::text[], %(events)s::uuid[], %(entries)s::bigint[])
    AS given (reaction, event_id, entry)
WHERE run.reaction = given.reaction AND run.event_id = given.event_id
    AND run.tenant = %(tenant)s"""

_HERE: Final = Path(__file__).parent
_REGISTER: Final = (_HERE / "register.sql").read_bytes()
_DISCARD: Final = (_HERE / "discard.sql").read_bytes()
_FOLLOW_UP: Final = (_HERE / "follow_up.sql").read_bytes()
_DUE: Final = (_HERE / "due.sql").read_bytes()
# Whether there is anything to schedule; a read, so that idle workers write nothing.
_PENDING: Final = (
    b"""
SELECT EXISTS (SELECT FROM reaction_runs WHERE follow_up AND tenant = %(tenant)s)
    OR EXISTS (
        SELECT FROM reactions
        JOIN reaction_runs AS run ON run.reaction = reactions.name
            AND run.tenant = reactions.tenant AND run.position <= reactions.discarded_to
        WHERE reactions.tenant = %(tenant)s AND run.finished_at IS NULL AND run.task IS NULL)
    OR EXISTS ("""
    + _DUE
    + b")"
)

log = get_logger(__name__)


class PostgresReactionSchedule:
    """See `ReactionSchedule`.

    Everything that decides which run of a user is next holds the row of the checkpoint: so pages,
    schedules and switches come one after another. A run that begins or ends changes only its row.
    """

    def __init__(self, database: Database, *, places: int = PLACES) -> None:
        self._database = database
        self._places = places

    async def register(self, available: Sequence[Availability]) -> None:
        values = {
            "tenant": TENANT,
            "names": [each.name for each in available],
            "missing": [each.missing for each in available],
            "actor": _ACTOR,
        }
        async with self._database.transaction(_SECONDS) as connection:
            await hold(connection)
            changed = await (await connection.execute(_REGISTER, values)).fetchall()
        for name, missing in changed:
            log.info("reaction_registered", reaction=name, missing=missing)

    async def seen(self, names: Sequence[str]) -> None:
        values = {"tenant": TENANT, "names": list(names)}
        await self._database.rows(_SEEN, values, settings=UNSYNCED)

    async def schedule(self, names: Sequence[str]) -> bool:
        if not (await self._database.rows(_PENDING, self._due_values(names)))[0][0]:
            return False
        values: dict[str, Any] = {"tenant": TENANT, "error": DISABLED}
        async with self._database.transaction(_SECONDS) as connection:
            await hold(connection)
            row = await (await connection.execute(_DISCARD, values)).fetchone()
            assert row is not None
            await self.give(connection, names)
        return row[0] >= _DISCARDED_AT_ONCE

    async def give(self, connection: Connection, names: Sequence[str]) -> None:
        """Give the runs that are due to the workers; the transaction holds the checkpoint's row."""
        values = self._due_values(names)
        await connection.execute(_FOLLOW_UP, values)
        due = await (await connection.execute(_DUE, values)).fetchall()
        if not due:
            return
        entries = await queue.put_reactions(connection, due)
        given = {
            "tenant": TENANT,
            "reactions": [reaction for reaction, _, _ in due],
            "events": [event_id for _, event_id, _ in due],
            "entries": entries,
        }
        await connection.execute(_GIVE, given)

    def _due_values(self, names: Sequence[str]) -> dict[str, Any]:
        return {
            "tenant": TENANT,
            "names": list(names),
            "places": self._places,
            "outages": MAX_OUTAGES,
        }


async def hold(connection: Connection) -> None:
    """Wait for the row of the checkpoint, and hold it until the transaction ends."""
    await connection.execute(BEGIN, {"tenant": TENANT})
    await connection.execute(_LOCK, {"tenant": TENANT})
