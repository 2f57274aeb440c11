"""Jobs in Postgres: our row, and its entry in procrastinate's queue, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from application.context import TENANT
from application.errors import OutcomeUnknown, Unavailable
from application.jobs.model import JOB_STATES, Job, JobPage, JobQuery, is_swept
from application.jobs.pace import progress_of
from infrastructure.database import Database, MaybeCommitted
from infrastructure.jobs import queue
from infrastructure.postgres import Connection

_COLUMNS: Final = """id, kind, state, arguments, actor, done, total, rate, result, error, attempts,
    created_at, started_at, finished_at"""
_LAST_ID: Final = UUID(int=2**128 - 1)

_SQL: Final = Path(__file__).with_name("list.sql").read_text()
LIST: Final = _SQL.format(only="").encode()
_EXPORTS: Final = _SQL.format(only="AND kind = 'export' AND actor = %(actor)s").encode()
_INSERT: Final = f"""
INSERT INTO jobs (tenant, id, kind, arguments, actor, once) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING {_COLUMNS}"""
_ONE: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id = %s AND tenant = %s"
_SAME: Final = f"""
SELECT {_COLUMNS} FROM jobs
WHERE kind = %s AND once = %s AND tenant = %s AND state IN ('queued', 'running')"""
# A queued job ends at once; a running one is told at its next pulse.
_CANCEL: Final = """
UPDATE jobs
SET cancel_requested = true,
    state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE state WHEN 'queued' THEN now() END
WHERE id = %s AND tenant = %s AND state IN ('queued', 'running')
RETURNING state, task"""


class PostgresJobs:
    """See `Jobs` and `JobList`."""

    def __init__(self, database: Database, new_id: Callable[[], UUID]) -> None:
        self._database = database
        self._new_id = new_id

    async def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        actor: str,
        once: str | None = None,
        job_id: UUID | None = None,
        first: bool = False,
    ) -> Job:
        # After a lost reply the same row is submitted again: if it was recorded, it is found.
        row = (TENANT, job_id or self._new_id(), kind, Jsonb(dict(arguments)), actor, once)
        try:
            return await self._submit(row, first)
        except MaybeCommitted:
            pass
        try:
            return await self._submit(row, first)
        except Unavailable as error:
            raise OutcomeUnknown from error

    async def _submit(self, row: Sequence[Any], first: bool) -> Job:
        try:
            async with self._database.transaction() as connection:
                return await _insert(connection, row, first)
        except psycopg.DataError as error:
            raise ValueError("The arguments cannot be stored as JSON.") from error

    async def job(self, job_id: UUID) -> Job | None:
        async with self._database.transaction() as connection:
            return await _job(connection, job_id)

    async def cancel(self, job_id: UUID) -> Job | None:
        try:
            async with self._database.transaction() as connection:
                match await _row(connection, _CANCEL, (job_id, TENANT)):
                    case ("cancelled", int(entry)):
                        await queue.withdraw(connection, entry)
                    case _:
                        pass
                return await _job(connection, job_id)
        except MaybeCommitted as error:
            raise OutcomeUnknown from error

    async def jobs(self, query: JobQuery) -> JobPage:
        parameters = {
            "tenant": TENANT,
            "states": list(query.states or JOB_STATES),
            "before": query.before or _LAST_ID,
            "limit": query.limit + 1,
            "actor": query.exports_of,
        }
        statement = LIST if query.exports_of is None else _EXPORTS
        async with self._database.transaction() as connection:
            cursor = await connection.execute(statement, parameters)
            found = [_job_of(row) for row in await cursor.fetchall()]
        page = found[: query.limit]
        return JobPage(page, page[-1].id if len(found) > len(page) else None)


async def _insert(connection: Connection, row: Sequence[Any], first: bool) -> Job:
    """Insert a job and its entry; returns an existing job with the same id or `once` key instead."""
    _, job_id, kind, _, _, once = row
    while True:
        if inserted := await _row(connection, _INSERT, row):
            if not is_swept(kind):
                place = queue.FIRST if first else queue.IN_TURN
                await queue.put(connection, kind, job_id, place=place)
            return _job_of(inserted)
        if there := await _row(connection, _ONE, (job_id, TENANT)):
            return _job_of(there)
        # Neither is found if the other job was finished in between: try again.
        if same := await _row(connection, _SAME, (kind, once, TENANT)):
            return _job_of(same)


async def _job(connection: Connection, job_id: UUID) -> Job | None:
    row = await _row(connection, _ONE, (job_id, TENANT))
    return None if row is None else _job_of(row)


async def _row(connection: Connection, query: str, values: Sequence[Any]) -> TupleRow | None:
    cursor = await connection.execute(query, values)  # pyright: ignore[reportArgumentType]
    return await cursor.fetchone()


def _job_of(row: Sequence[Any]) -> Job:
    """The job of a row with these columns."""
    done, total, rate = row[5:8]
    return Job(
        id=row[0],
        kind=row[1],
        state=row[2],
        arguments=row[3],
        actor=row[4],
        progress=progress_of(done, total, rate, running=row[2] == "running"),
        result=row[8],
        error=row[9],
        attempts=row[10],
        created_at=row[11],
        started_at=row[12],
        finished_at=row[13],
    )
