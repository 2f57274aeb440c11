"""The reactions' ledger in Postgres: the checkpoint, the queueing of runs, and what is due."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from structlog import get_logger

from application.context import TENANT
from application.log.follower import NotLeading
from application.reactions.availability import Availability
from application.reactions.follower import ReactionProgress, WantedRun
from application.reactions.running import DISABLED
from infrastructure.database import Database
from infrastructure.jobs import queue
from infrastructure.leadership import Lead
from infrastructure.postgres import Connection

LEADER: Final = f"reactions {TENANT}"
"""The name under which the follower of the reactions leads."""

PLACES: Final = 16
"""How many runs of a reaction are given to the workers at once."""
MAX_OUTAGES: Final = 3
"""After so many outages in a row a reaction waits, and then tries one run."""

_SECONDS: Final = 5.0
_ACTOR: Final = "system:reactions"
_DISCARDED_AT_ONCE: Final = 1000

# A page without runs is read again if a crash loses the move of the checkpoint.
_UNSYNCED: Final = b"SELECT set_config('synchronous_commit', 'off', true)"

# The first checkpoint is the head: each reaction begins at the head of its time, or later.
_BEGIN: Final = b"""
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
SELECT %(tenant)s, 'reactions', 1, 0, coalesce(max(notification_id), 0) FROM stored_events
ON CONFLICT DO NOTHING"""
_WHERE: Final = """
WHERE tenant = %(tenant)s AND projection = 'reactions' AND generation = 1 AND partition = 0"""
_POSITION: Final = f"SELECT position FROM checkpoints {_WHERE}".encode()
_LOCK: Final = f"SELECT position FROM checkpoints {_WHERE} FOR UPDATE".encode()
_GIVE: Final = b"""
UPDATE reaction_runs AS run SET task = given.entry
FROM unnest(%(reactions)s::text[], %(events)s::uuid[], %(entries)s::bigint[])
    AS given (reaction, event_id, entry)
WHERE run.reaction = given.reaction AND run.event_id = given.event_id
    AND run.tenant = %(tenant)s"""


def _sql(name: str) -> bytes:
    return Path(__file__).with_name(f"{name}.sql").read_bytes()


_ADVANCE: Final = _sql("advance")
_INSERT: Final = _sql("insert")
_REGISTER: Final = _sql("register")
_DISCARD: Final = _sql("discard")
_FOLLOW_UP: Final = _sql("follow_up")
_DUE: Final = _sql("due")
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


class PostgresReactionLedger:
    """See `ReactionLedger` and `ReactionSchedule`.

    Everything that decides which run of a user is next holds the row of the checkpoint: so pages,
    schedules and switches come one after another. A run that begins or ends changes only its row.
    """

    def __init__(self, database: Database, *, places: int = PLACES) -> None:
        self._database = database
        self._places = places

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[ReactionProgress]:
        async with self._database.leading.lead(LEADER) as lead:
            async with self._database.connection(_SECONDS) as connection:
                await connection.execute(_BEGIN, {"tenant": TENANT})
            rows = await self._database.rows(_POSITION, {"tenant": TENANT})
            yield PostgresReactionProgress(self, self._database, lead, rows[0][0])

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
    await connection.execute(_BEGIN, {"tenant": TENANT})
    await connection.execute(_LOCK, {"tenant": TENANT})


class PostgresReactionProgress:
    """See `ReactionProgress`."""

    def __init__(
        self, ledger: PostgresReactionLedger, database: Database, lead: Lead, position: int
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._lead = lead
        self._position = position

    @property
    def position(self) -> int:
        self._lead.check()
        return self._position

    async def advance(self, reached: int, wanted: Sequence[WantedRun]) -> None:
        values = {"tenant": TENANT, "reached": reached, "position": self._position}
        # If a reply is lost, the retry finds the checkpoint moved, as if by another leader.
        async with self._database.transaction(_SECONDS) as connection:
            if not wanted:
                await connection.execute(_UNSYNCED)
            moved = await (await connection.execute(_ADVANCE, values)).fetchone()
            if moved is None:
                raise NotLeading(NotLeading.__doc__)
            if wanted:
                await connection.execute(_INSERT, _values(wanted))
                await self._ledger.give(connection, sorted({each.reaction for each in wanted}))
        self._position = reached


def _values(wanted: Sequence[WantedRun]) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "reactions": [each.reaction for each in wanted],
        "events": [each.event_id for each in wanted],
        "positions": [each.position for each in wanted],
        "streams": [each.stream for each in wanted],
    }
