"""Jobs in Postgres: our row and procrastinate's row, always changed in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from application.context import TENANT
from application.errors import OutcomeUnknown, Unavailable
from application.jobs.model import JOB_STATES, Job, JobPage, JobQuery
from infrastructure.jobs.queue import TaskQueue
from infrastructure.jobs.rows import COLUMNS, RING, job_of
from infrastructure.jobs.sessions import JobSessions, MaybeCommitted
from infrastructure.postgres import Connection

# The actor of scheduled jobs, and their `once` key: one unfinished scheduled job per kind.
SCHEDULE: Final = "system:schedule"

_LAST_ID: Final = UUID(int=2**128 - 1)

_LIST: Final = Path(__file__).with_name("list.sql").read_bytes()
_EXPORTS: Final = Path(__file__).with_name("exports.sql").read_bytes()
_INSERT: Final = f"""
INSERT INTO jobs (tenant, id, kind, arguments, actor, once) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING {COLUMNS}"""
_SET_TASK: Final = "UPDATE jobs SET task = %s WHERE id = %s AND tenant = %s"
_ONE: Final = f"SELECT {COLUMNS} FROM jobs WHERE id = %s AND tenant = %s"
_SAME: Final = f"""
SELECT {COLUMNS} FROM jobs
WHERE kind = %s AND once = %s AND tenant = %s AND state IN ('queued', 'running')"""
_STATE: Final = "SELECT state, task FROM jobs WHERE id = %s AND tenant = %s"
_CANCEL_QUEUED: Final = """
UPDATE jobs SET state = 'cancelled', task = NULL, finished_at = now()
WHERE id = %s AND tenant = %s AND state = 'queued'"""
_CANCEL_RUNNING: Final = """
UPDATE jobs SET cancel_requested = true WHERE id = %s AND tenant = %s AND state = 'running'"""


class PostgresJobs:
    """See `Jobs` and `JobList`."""

    def __init__(self, sessions: JobSessions, new_id: Callable[[], UUID]) -> None:
        self._sessions = sessions
        self._new_id = new_id

    async def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        actor: str,
        once: str | None = None,
        job_id: UUID | None = None,
    ) -> Job:
        """See `Jobs.submit`."""
        # After a lost reply the same row is submitted again: if it was recorded, it is found.
        row = (TENANT, job_id or self._new_id(), kind, Jsonb(dict(arguments)), actor, once)
        try:
            return await self._submit(row)
        except MaybeCommitted:
            pass
        try:
            return await self._submit(row)
        except Unavailable as error:
            raise OutcomeUnknown from error

    async def _submit(self, row: Sequence[Any]) -> Job:
        try:
            async with self._sessions.transaction() as connection:
                return await _insert(connection, row)
        except psycopg.DataError as error:
            raise ValueError("The arguments cannot be stored as JSON.") from error

    async def submit_scheduled(self, kind: str, timestamp: int) -> bool:
        """Submit a kind's scheduled job for this Unix time; False if it is not needed.

        Raises `Unavailable`.
        """
        job_id = self._new_id()
        async with self._sessions.transaction() as connection:
            queue = TaskQueue(connection)
            task = await queue.put_scheduled(kind, job_id, timestamp)
            if task is None:
                return False
            row = (TENANT, job_id, kind, Jsonb({}), SCHEDULE, SCHEDULE)
            if await _row(connection, _INSERT, row) is None:
                # The previous scheduled job is not finished yet.
                await queue.withdraw(task)
                return False
            await connection.execute(_SET_TASK, (task, job_id, TENANT))
            await connection.execute(RING)
        return True

    async def job(self, job_id: UUID) -> Job | None:
        """See `Jobs.job`."""
        async with self._sessions.transaction() as connection:
            return await _job(connection, job_id)

    async def cancel(self, job_id: UUID) -> Job | None:
        """See `Jobs.cancel`."""
        try:
            async with self._sessions.transaction() as connection:
                await _cancel(connection, job_id)
                return await _job(connection, job_id)
        except MaybeCommitted as error:
            raise OutcomeUnknown from error

    async def jobs(self, query: JobQuery) -> JobPage:
        """See `JobList.jobs`."""
        parameters = {
            "tenant": TENANT,
            "states": list(query.states or JOB_STATES),
            "before": query.before or _LAST_ID,
            "limit": query.limit + 1,
            "actor": query.exports_of,
        }
        statement = _LIST if query.exports_of is None else _EXPORTS
        async with self._sessions.transaction() as connection:
            cursor = await connection.execute(statement, parameters)
            found = [job_of(row) for row in await cursor.fetchall()]
        page = found[: query.limit]
        return JobPage(page, page[-1].id if len(found) > len(page) else None)


async def _insert(connection: Connection, row: Sequence[Any]) -> Job:
    """Insert a job and its task; returns an existing job with the same id or `once` key instead."""
    _, job_id, kind, _, _, once = row
    while True:
        if inserted := await _row(connection, _INSERT, row):
            task = await TaskQueue(connection).put(kind, job_id)
            await connection.execute(_SET_TASK, (task, job_id, TENANT))
            await connection.execute(RING)
            return job_of(inserted)
        if there := await _row(connection, _ONE, (job_id, TENANT)):
            return job_of(there)
        # Neither is found if the other job was finished in between: try again.
        if same := await _row(connection, _SAME, (kind, once, TENANT)):
            return job_of(same)


async def _cancel(connection: Connection, job_id: UUID) -> None:
    """A worker may take or requeue the job between any two of these statements."""
    while row := await _row(connection, _STATE, (job_id, TENANT)):
        match row:
            case ("queued", task) if await TaskQueue(connection).withdraw(task):
                await connection.execute(_CANCEL_QUEUED, (job_id, TENANT))
                return
            case ("running", _):
                if (await connection.execute(_CANCEL_RUNNING, (job_id, TENANT))).rowcount:
                    return
            case ("queued", _):
                continue
            case _:
                return


async def _job(connection: Connection, job_id: UUID) -> Job | None:
    row = await _row(connection, _ONE, (job_id, TENANT))
    return None if row is None else job_of(row)


async def _row(connection: Connection, query: str, values: Sequence[Any]) -> TupleRow | None:
    cursor = await connection.execute(query, values)  # pyright: ignore[reportArgumentType]
    return await cursor.fetchone()
