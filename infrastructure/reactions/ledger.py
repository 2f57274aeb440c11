"""The reactions' ledger in Postgres: the lead, and the checkpoint that moves with the runs of a page."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from application.context import TENANT
from application.errors import Unavailable
from application.log.follower import NotLeading
from application.reactions.follower import ReactionProgress, WantedRun
from infrastructure.database import Database
from infrastructure.leadership import Lead
from infrastructure.reactions.schedule import BEGIN, UNSYNCED, WHERE, PostgresReactionSchedule

LEADER: Final = f"reactions {TENANT}"
"""The name under which the follower of the reactions leads."""

_SECONDS: Final = 5.0

_POSITION: Final = f"SELECT position FROM checkpoints {WHERE}".encode()
_HERE: Final = Path(__file__).parent
_INSERT: Final = (_HERE / "insert.sql").read_bytes()
# What the workers of another release have: its process leads.
_OTHERS: Final = """
SELECT FROM reactions
WHERE tenant = %(tenant)s AND enabled AND missing IS NULL AND name <> ALL (%(names)s::text[])
    AND seen_at > clock_timestamp() - interval '30 seconds'"""
_LACKS: Final = f"SELECT EXISTS ({_OTHERS})".encode()
_ADVANCE: Final = (_HERE / "advance.sql").read_bytes().replace(b"{others}", _OTHERS.encode())


class PostgresReactionLedger:
    """See `ReactionLedger`."""

    def __init__(self, database: Database, schedule: PostgresReactionSchedule) -> None:
        self._database = database
        self._schedule = schedule

    @asynccontextmanager
    async def lead(self, names: Collection[str]) -> AsyncGenerator[ReactionProgress]:
        parameters = {"tenant": TENANT, "names": list(names)}
        if (await self._database.rows(_LACKS, parameters))[0][0]:
            raise Unavailable
        async with self._database.leading.lead(LEADER) as lead:
            async with self._database.connection(_SECONDS) as connection:
                await connection.execute(BEGIN, {"tenant": TENANT})
            rows = await self._database.rows(_POSITION, {"tenant": TENANT})
            yield PostgresReactionProgress(self._schedule, self._database, lead, rows[0][0], names)


class PostgresReactionProgress:
    """See `ReactionProgress`."""

    def __init__(
        self,
        schedule: PostgresReactionSchedule,
        database: Database,
        lead: Lead,
        position: int,
        names: Collection[str] = (),
    ) -> None:
        self._names = list(names)
        self._schedule = schedule
        self._database = database
        self._lead = lead
        self._position = position

    @property
    def position(self) -> int:
        self._lead.check()
        return self._position

    async def advance(self, reached: int, wanted: Sequence[WantedRun]) -> None:
        values = {
            "tenant": TENANT,
            "reached": reached,
            "position": self._position,
            "names": self._names,
        }
        # If a reply is lost, the retry finds the checkpoint moved, as if by another leader.
        async with self._database.transaction(_SECONDS) as connection:
            if not wanted:
                await connection.execute(UNSYNCED)
            moved = await (await connection.execute(_ADVANCE, values)).fetchone()
            if moved is None:
                raise NotLeading(NotLeading.__doc__)
            if wanted:
                await connection.execute(_INSERT, _values(wanted))
                await self._schedule.give(connection, sorted({each.reaction for each in wanted}))
        self._position = reached


def _values(wanted: Sequence[WantedRun]) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "reactions": [each.reaction for each in wanted],
        "events": [each.event_id for each in wanted],
        "positions": [each.position for each in wanted],
        "streams": [each.stream for each in wanted],
    }
