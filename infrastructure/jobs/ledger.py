"""The worker's side of the jobs in Postgres; it also requeues the jobs of dead workers."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final, Self
from uuid import UUID

import psycopg
from structlog import get_logger

from application.context import TENANT
from application.errors import Unavailable
from application.jobs.ledger import Asked, Outcome, RunNow, Taken
from application.jobs.model import Progress
from infrastructure.jobs.completion import end_run, revive
from infrastructure.jobs.queue import Task, TaskQueue
from infrastructure.jobs.sessions import JobSessions
from infrastructure.postgres import Connection

HEARTBEAT_SECONDS: Final = 3.0
DEAD_SECONDS: Final = 15.0
_PRUNE_SECONDS: Final = 600.0

_REPORT: Final = Path(__file__).with_name("report.sql").read_bytes()
_BEGIN: Final = """
UPDATE jobs
SET state = 'running', attempts = attempts + 1, started_at = now(),
    done = 0, total = NULL, rate = NULL
WHERE id = %s AND tenant = %s AND task = %s AND state = 'queued'
RETURNING kind, arguments, actor, attempts, failures"""
_ASKED: Final = """
SELECT id, attempts, cancel_requested FROM jobs
WHERE id = ANY(%s) AND tenant = %s AND state = 'running'"""

log = get_logger(__name__)


class PostgresJobLedger:
    """See `JobLedger`. A worker is dead after `dead_after` seconds without a heartbeat.

    These seconds count only while this worker was connected, so that after an outage of the
    database each worker has time for a heartbeat.
    """

    def __init__(
        self,
        sessions: JobSessions,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        dead_after: float = DEAD_SECONDS,
    ) -> None:
        self._sessions = sessions
        self._heartbeat_seconds = heartbeat
        self._dead_after = dead_after
        self._worker: int | None = None
        self._registering = asyncio.Lock()
        self._next_heartbeat = float("-inf")
        self._connected_since = monotonic()
        self._unknown_takes = frozenset[Task]()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        sessions: JobSessions,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        dead_after: float = DEAD_SECONDS,
    ) -> AsyncGenerator[Self]:
        """The ledger of a new worker; other workers requeue at once the jobs that it leaves."""
        ledger = cls(sessions, heartbeat=heartbeat, dead_after=dead_after)
        try:
            yield ledger
        finally:
            with suppress(Unavailable):
                await ledger._unregister()

    async def take(self, kinds: Collection[str]) -> Taken | None:
        """See `JobLedger.take`."""
        worker = await self._registered()
        try:
            async with self._sessions.transaction() as connection:
                queue = TaskQueue(connection)
                task = await queue.take(kinds, worker)
                if task is None:
                    return None
                cursor = await connection.execute(_BEGIN, (task.job, TENANT, task.id))
                if (row := await cursor.fetchone()) is None:
                    await queue.drop(task.id)
                    return None
        except psycopg.errors.ForeignKeyViolation:
            # Other workers considered this one dead and removed its row.
            self._worker = None
            return None
        return Taken(
            id=task.job,
            kind=row[0],
            arguments=row[1],
            actor=row[2],
            attempt=row[3],
            failures=row[4],
        )

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        """See `JobLedger.end`."""
        try:
            async with self._sessions.transaction() as connection:
                await end_run(connection, taken.id, taken.attempt, progress, outcome)
        except psycopg.DataError as error:
            raise ValueError("The result cannot be stored as JSON.") from error

    async def pulse(self, runs: Mapping[UUID, RunNow]) -> Mapping[UUID, Asked]:
        """See `JobLedger.pulse`."""
        worker = await self._registered()
        heartbeat_due = monotonic() >= self._next_heartbeat
        asked: Mapping[UUID, Asked] = {}
        async with self._sessions.transaction() as connection:
            if heartbeat_due:
                await TaskQueue(connection).heartbeat(worker)
            if runs:
                asked = await _exchange(connection, runs)
        if heartbeat_due:
            await self._requeue_lost(worker, runs)
        return asked

    async def _requeue_lost(self, worker: int, runs: Mapping[UUID, RunNow]) -> None:
        now = monotonic()
        if now > self._next_heartbeat + self._dead_after / 2:
            self._connected_since = now
        self._next_heartbeat = now + self._heartbeat_seconds
        can_detect_dead = now - self._connected_since >= self._dead_after
        async with self._sessions.transaction() as connection:
            queue = TaskQueue(connection)
            taken = await queue.taken_by(worker)
            stalled = await queue.stalled(self._dead_after) if can_detect_dead else []
            if can_detect_dead:
                await queue.prune(_PRUNE_SECONDS)
        # Our takes whose reply was lost: they have no run here. A take in progress has none either,
        # so only those that are seen twice are requeued.
        unknown = frozenset(task for task in taken if task.job not in runs)
        await self._requeue([*stalled, *(unknown & self._unknown_takes)])
        self._unknown_takes = unknown

    async def _requeue(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            async with self._sessions.transaction() as connection:
                revived = await revive(connection, task.job, task.id, task.worker)
            if revived:
                log.warning("job_revived", job=str(task.job), worker=task.worker)

    async def _registered(self) -> int:
        async with self._registering:
            if self._worker is None:
                async with self._sessions.transaction() as connection:
                    worker = await TaskQueue(connection).register()
                self._worker = worker
            return self._worker

    async def _unregister(self) -> None:
        if self._worker is not None:
            async with self._sessions.transaction() as connection:
                await TaskQueue(connection).unregister(self._worker)


async def _exchange(connection: Connection, runs: Mapping[UUID, RunNow]) -> Mapping[UUID, Asked]:
    now = list(runs.values())
    values = {
        "tenant": TENANT,
        "jobs": list(runs),
        "attempts": [run.attempt for run in now],
        "done": [run.progress.done for run in now],
        "total": [run.progress.total for run in now],
        "rate": [run.progress.rate for run in now],
    }
    await connection.execute(_REPORT, values)
    rows = await (await connection.execute(_ASKED, (list(runs), TENANT))).fetchall()
    current = {row[0]: row[2] for row in rows if row[1] == runs[row[0]].attempt}
    asked: dict[UUID, Asked] = {job: "lost" for job in runs if job not in current}
    asked.update({job: "cancel" for job, cancelled in current.items() if cancelled})
    return asked
