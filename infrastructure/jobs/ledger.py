"""The runs of jobs in Postgres, fenced by attempt and entry; also finds the jobs of dead workers."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from application.context import TENANT
from application.jobs.ledger import Outcome, Taken
from application.jobs.model import Asked
from application.jobs.pace import Progress
from infrastructure.database import Database
from infrastructure.jobs import queue
from infrastructure.jobs.lost import MAX_LOSSES, Lost
from infrastructure.postgres import Connection

_GIVEN_UP: Final = f"Its worker ended in the middle of it, {MAX_LOSSES} times."
_END: Final = Path(__file__).with_name("end.sql").read_bytes()
_REPORT: Final = Path(__file__).with_name("report.sql").read_bytes()
_LOST: Final = Path(__file__).with_name("lost.sql").read_bytes()
# An entry is for one run, so a repeat finds the run that it began.
_BEGIN: Final = """
UPDATE jobs
SET attempts = attempts + (state = 'queued')::int,
    state = 'running', started_at = now(), done = 0, total = NULL, rate = NULL
WHERE id = %s AND tenant = %s AND task = %s AND state IN ('queued', 'running') AND kind = ANY(%s)
RETURNING id, kind, arguments, actor, attempts, task, failures"""


class PostgresJobLedger:
    """See `JobLedger` and `LostRuns`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, job: UUID, entry: int, kinds: Collection[str]) -> Taken | None:
        """Begin the run of an entry; None if the job has another entry, none, or another kind."""
        async with self._database.transaction() as connection:
            values = (job, TENANT, entry, list(kinds))
            row = await (await connection.execute(_BEGIN, values)).fetchone()
        return None if row is None else Taken(*row)

    async def report(self, taken: Taken, progress: Progress) -> Asked | None:
        values = {"tenant": TENANT, "job": taken.id, "attempt": taken.attempt, **_numbers(progress)}
        async with self._database.transaction() as connection:
            row = await (await connection.execute(_REPORT, values)).fetchone()
        if row is None:
            return "lost"
        return "cancel" if row[0] else None

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        try:
            async with self._database.transaction() as connection:
                await _end(connection, taken, outcome, progress)
        except psycopg.DataError as error:
            raise ValueError("The result cannot be stored as JSON.") from error

    async def lost(self, stalled: float) -> list[Lost]:
        """See `LostRuns.lost`."""
        rows = await self._database.rows(_LOST, {"tenant": TENANT, "stalled": stalled})
        return [Lost(*row) for row in rows]

    async def revive(self, lost: Lost) -> bool:
        """See `LostRuns.revive`: the job gets a new entry."""
        async with self._database.transaction() as connection:
            return await _end(connection, lost, Outcome(state="queued"), None)


async def _end(
    connection: Connection, run: Taken | Lost, outcome: Outcome, progress: Progress | None
) -> bool:
    values = {
        **_numbers(progress or Progress()),
        "tenant": TENANT,
        "job": run.id,
        "entry": run.entry,
        "attempt": run.attempt,
        "state": outcome.state,
        "result": None if outcome.result is None else Jsonb(outcome.result),
        "error": outcome.error,
        "failed": outcome.failed,
        "lost": isinstance(run, Lost),
        "given_up": _GIVEN_UP,
        "max_losses": MAX_LOSSES,
    }
    row = await (await connection.execute(_END, values)).fetchone()
    if row is None:
        return False
    kind, state, was_lost = row
    if state == "queued":
        waits = outcome.error is not None and not outcome.failed
        place = queue.LAST if waits else queue.IN_TURN
        await queue.put(connection, kind, run.id, outcome.seconds, place=place)
    return was_lost


def _numbers(progress: Progress) -> dict[str, Any]:
    return {"done": progress.done, "total": progress.total, "rate": progress.rate}
