"""The runs of reactions in Postgres, fenced by their entry; also finds the runs of dead workers."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from application.context import TENANT
from application.reactions.runs import RunOutcome, TakenRun
from infrastructure.database import Database
from infrastructure.jobs.lost import MAX_LOSSES, Lost
from infrastructure.reactions.schedule import MAX_OUTAGES

_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 60
_GIVEN_UP: Final = f"its worker ended in the middle of it, {MAX_LOSSES} times"

_HERE: Final = Path(__file__).parent
_BEGIN: Final = (_HERE / "begin.sql").read_bytes()
_END: Final = (_HERE / "end.sql").read_bytes()
_LOST: Final = (_HERE / "lost.sql").read_bytes()
_REVIVE: Final = (_HERE / "revive.sql").read_bytes()


class PostgresReactionRuns:
    """See `ReactionRuns`, and `LostRuns` of the workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, entry: int, names: Collection[str]) -> TakenRun | None:
        values = {"tenant": TENANT, "entry": entry, "names": list(names)}
        rows = await self._database.rows(_BEGIN, values, seconds=_SECONDS)
        if not rows:
            return None
        reaction, event_id, position, stream, attempt, tries, outages, since, discarded = rows[0]
        return TakenRun(
            reaction=reaction,
            event_id=event_id,
            position=position,
            stream=stream,
            attempt=attempt,
            entry=entry,
            tries=tries,
            outages=outages,
            since=since,
            is_discarded=discarded,
        )

    async def end(self, taken: TakenRun, outcome: RunOutcome) -> bool:
        values = {
            "tenant": TENANT,
            "reaction": taken.reaction,
            "event": taken.event_id,
            "entry": taken.entry,
            "attempt": taken.attempt,
            "state": outcome.state,
            "error": outcome.error,
            "seconds": outcome.seconds,
            "failed": outcome.failed,
            "outage": outcome.outage,
            "answered": outcome.state == "done" or outcome.failed,
            "max_outages": MAX_OUTAGES,
            "longest": _LONGEST_PAUSE_SECONDS,
        }
        rows = await self._database.rows(_END, values, seconds=_SECONDS)
        return rows[0][0] > 0

    async def lost(self, stalled: float) -> list[Lost]:
        """See `LostRuns.lost`."""
        rows = await self._database.rows(_LOST, {"tenant": TENANT, "stalled": stalled})
        return [Lost(*row) for row in rows]

    async def revive(self, lost: Lost) -> bool:
        """See `LostRuns.revive`: the run is queued, and a scheduler gives it a new entry."""
        values = {
            "tenant": TENANT,
            "event": lost.id,
            "entry": lost.entry,
            "attempt": lost.attempt,
            "max_losses": MAX_LOSSES,
            "given_up": _GIVEN_UP,
        }
        async with self._database.transaction(_SECONDS) as connection:
            row = await (await connection.execute(_REVIVE, values)).fetchone()
        return row is not None and row[0]
