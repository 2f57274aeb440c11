"""Lists parked streams, and pauses and resumes projections, in Postgres."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from application.context import TENANT
from application.projector.admin import ParkedPage, ParkedStream
from infrastructure.views.sql.reader import ViewReader

# The first parked event of each stream, in the order of the log.
_PARKED: Final = text("""
SELECT f.stream, f.version, f.position, f.event_id, e.topic, f.error, f.parked_at, f.events
FROM (SELECT DISTINCT ON (k.stream) k.*, count(*) OVER (PARTITION BY k.stream) AS events
      FROM parked k JOIN projections p
          ON p.tenant = k.tenant AND p.name = k.projection AND p.generation = k.generation
      WHERE k.tenant = :tenant AND k.projection = :name
      ORDER BY k.stream, k.version) AS f
LEFT JOIN stored_events e ON e.notification_id = f.position
WHERE f.position > :after
ORDER BY f.position LIMIT :limit""")
_PARKED_STREAMS: Final = text("""
SELECT k.projection, count(DISTINCT k.stream)
FROM parked k JOIN projections p
    ON p.tenant = k.tenant AND p.name = k.projection AND p.generation = k.generation
WHERE k.tenant = :tenant GROUP BY k.projection ORDER BY k.projection""")
_PAUSE: Final = text("""
WITH paused AS (
    UPDATE projections
    SET paused_at = coalesce(paused_at, clock_timestamp()), paused_by = :actor,
        pause_reason = :reason
    WHERE tenant = :tenant AND name = :name
    RETURNING name)
SELECT pg_notify('rollbook', 'generations') FROM paused""")
_RESUME: Final = text("""
WITH resumed AS (
    UPDATE projections SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
    WHERE tenant = :tenant AND name = :name
    RETURNING name)
SELECT pg_notify('rollbook', 'generations') FROM resumed""")


class PostgresProjectionAdmin:
    """See `ProjectionAdminStore`. Its changes are idempotent, because a `ViewReader` retries."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader

    async def parked(self, projection: str, after: int, limit: int) -> ParkedPage:
        given = {"tenant": TENANT, "name": projection, "after": after, "limit": limit + 1}
        rows = await self._reader.rows(_PARKED, given)
        items = [
            ParkedStream(
                stream=row[0],
                version=row[1],
                position=row[2],
                event_id=row[3],
                type=row[4],
                error=row[5],
                parked_at=row[6],
                events=row[7],
            )
            for row in rows[:limit]
        ]
        return ParkedPage(items, items[-1].position if len(rows) > limit else None)

    async def parked_counts(self) -> Mapping[str, int]:
        rows = await self._reader.rows(_PARKED_STREAMS, {"tenant": TENANT})
        return {row[0]: row[1] for row in rows}

    async def pause(self, projection: str, reason: str | None, actor: str | None) -> None:
        given = {"tenant": TENANT, "name": projection, "reason": reason, "actor": actor}
        await self._reader.rows(_PAUSE, given)

    async def resume(self, projection: str) -> None:
        await self._reader.rows(_RESUME, {"tenant": TENANT, "name": projection})
