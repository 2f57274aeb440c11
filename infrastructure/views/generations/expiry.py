"""Finds generations that are no longer needed, and drops them."""

from collections.abc import Sequence
from typing import Final

from application.context import TENANT
from infrastructure.database import Database
from infrastructure.views.generations.drop import drop
from infrastructure.views.generations.store import build_lock

# An active builder stores a batch, or its job is retried, in much less than 10 minutes. The build of
# a job that is over, for example cancelled between two runs, is of no use at once.
_DUE: Final = """
SELECT projection, generation, served_at IS NULL AND state <> 'dropping'
FROM generations g
WHERE tenant = %(tenant)s AND state <> 'dropped'
  AND NOT EXISTS (SELECT FROM projections p WHERE p.tenant = g.tenant
                  AND p.name = g.projection AND p.generation = g.generation)
  AND CASE
      WHEN state = 'dropping' OR served_at IS NOT NULL
          THEN coalesce(drop_after < clock_timestamp(), state = 'dropping')
      ELSE touched_at < clock_timestamp() - interval '10 minutes'
           OR EXISTS (
               SELECT FROM jobs j
               WHERE j.tenant = g.tenant AND j.state NOT IN ('queued', 'running')
                 AND j.id = CASE WHEN g.built_by ~ '^[0-9a-f-]{36}$' THEN g.built_by::uuid END)
  END
ORDER BY projection, generation"""
# Holds the lock for this statement only.
_IS_UNOWNED: Final = "SELECT pg_try_advisory_xact_lock(%s)"


class PostgresExpiredGenerations:
    """See `ExpiredGenerations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def drop_expired(self) -> Sequence[str]:
        dropped: list[str] = []
        for projection, generation, unfinished in await self._database.rows(
            _DUE, {"tenant": TENANT}
        ):
            if unfinished and not await self._is_unowned(projection):
                continue
            if await drop(self._database, projection, generation):
                dropped.append(f"{projection}/{generation}")
        return dropped

    async def _is_unowned(self, projection: str) -> bool:
        """Whether no builder runs: a builder holds its lock, also while it makes an index."""
        rows = await self._database.rows(_IS_UNOWNED, (build_lock(projection),))
        return rows[0][0]
