"""Ends runs in the database: our row and procrastinate's change together, fenced by the attempt."""

from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg.types.json import Jsonb

from application.context import TENANT
from application.jobs.ledger import Cancelled, Failed, Outcome, Requeued, Succeeded
from application.jobs.model import Progress
from infrastructure.jobs.queue import TaskQueue
from infrastructure.jobs.rows import RING
from infrastructure.postgres import Connection

# A job that crashes its worker is not retried for ever.
MAX_LOSSES: Final = 5

_END: Final = Path(__file__).with_name("end.sql").read_bytes()
_RUNNING: Final = """
SELECT attempts, task, losses, cancel_requested FROM jobs
WHERE id = %s AND tenant = %s AND state = 'running' FOR UPDATE"""
_STILL_TAKEN: Final = """
SELECT true FROM procrastinate_jobs
WHERE id = %s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %s"""
_LATER: Final = "SELECT now() + make_interval(secs => %s)"


class _Running(Struct, frozen=True):
    """A running job, whose row is locked until the transaction ends."""

    attempt: int
    task: int
    losses: int
    cancel_requested: bool


async def end_run(
    connection: Connection, job: UUID, attempt: int, progress: Progress, outcome: Outcome
) -> bool:
    """Record the result of a run; False if the job has another run, or none."""
    running = await _running(connection, job)
    if running is None or running.attempt != attempt:
        return False
    await _end(connection, job, running, outcome, progress)
    return True


async def revive(connection: Connection, job: UUID, task: int, worker: int | None) -> bool:
    """Requeue a dead worker's job; False if another worker did, or if the worker has ended it."""
    running = await _running(connection, job)
    if running is None or running.task != task:
        return False
    if await (await connection.execute(_STILL_TAKEN, (task, worker))).fetchone() is None:
        return False
    outcome: Outcome = Requeued()
    if running.losses + 1 >= MAX_LOSSES:
        outcome = Failed(f"Its worker ended in the middle of it, {MAX_LOSSES} times.")
    await _end(connection, job, running, outcome, lost=True)
    return True


async def _running(connection: Connection, job: UUID) -> _Running | None:
    row = await (await connection.execute(_RUNNING, (job, TENANT))).fetchone()
    return None if row is None else _Running(*row)


async def _end(
    connection: Connection,
    job: UUID,
    running: _Running,
    outcome: Outcome,
    progress: Progress | None = None,
    *,
    lost: bool = False,
) -> None:
    queue = TaskQueue(connection)
    if isinstance(outcome, Requeued) and not running.cancel_requested:
        row = await (await connection.execute(_LATER, (outcome.seconds,))).fetchone()
        assert row is not None
        await queue.put_back(running.task, row[0])
        await connection.execute(RING)
    else:
        await queue.drop(running.task)
    values = {
        **_values(outcome, cancelled=running.cancel_requested),
        "job": job,
        "tenant": TENANT,
        "lost": lost,
        "done": progress.done if progress else None,
        "total": progress.total if progress else None,
        "rate": progress.rate if progress else None,
    }
    await connection.execute(_END, values)


def _values(outcome: Outcome, *, cancelled: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"result": None, "error": None, "failed": False}
    match outcome:
        case Succeeded(result):
            return values | {"state": "succeeded", "result": Jsonb(result)}
        case Failed(error):
            return values | {"state": "failed", "error": error, "failed": True}
        case Requeued(error=error):
            state = "cancelled" if cancelled else "queued"
            return values | {"state": state, "error": error, "failed": outcome.failed}
        case Cancelled():
            return values | {"state": "cancelled"}
