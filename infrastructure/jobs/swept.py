"""Jobs without runs in Postgres: rows that a sweep reads, notes and ends."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from application.context import TENANT
from application.jobs.swept import SweptJob, Waiting
from infrastructure.database import Database

_UNFINISHED: Final = """
SELECT id, arguments, done, total, error FROM jobs
WHERE kind = %s AND id > %s AND tenant = %s AND state IN ('queued', 'running')
ORDER BY id LIMIT %s"""
_NOTE: Final = """
UPDATE jobs SET done = %(done)s, total = %(total)s, error = %(error)s,
    started_at = coalesce(started_at, now())
WHERE id = ANY(%(jobs)s) AND tenant = %(tenant)s AND state IN ('queued', 'running')"""
_SUCCEED: Final = Path(__file__).with_name("succeed.sql").read_bytes()


class PostgresSweptJobs:
    """See `SweptJobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self, kind: str, after: UUID, limit: int) -> Sequence[SweptJob]:
        rows = await self._database.rows(_UNFINISHED, (kind, after, TENANT, limit))
        return [
            SweptJob(
                id=row[0],
                arguments=row[1],
                waiting=None
                if row[4] is None
                else Waiting(done=row[2], total=row[3] or 0, error=row[4]),
            )
            for row in rows
        ]

    async def note(self, jobs: Collection[UUID], waiting: Waiting) -> None:
        values = {
            "jobs": list(jobs),
            "tenant": TENANT,
            "done": waiting.done,
            "total": waiting.total,
            "error": waiting.error,
        }
        async with self._database.transaction() as connection:
            await connection.execute(_NOTE, values)

    async def succeed(self, results: Mapping[UUID, Mapping[str, Any]], done: int) -> None:
        values = {
            "jobs": list(results),
            "results": [Jsonb(result) for result in results.values()],
            "done": done,
            "tenant": TENANT,
        }
        async with self._database.transaction() as connection:
            await connection.execute(_SUCCEED, values)
