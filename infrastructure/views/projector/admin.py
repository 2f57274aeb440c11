"""Lists parked streams, and pauses and resumes projections, in Postgres."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from application.context import TENANT
from application.projector.admin import ParkedPage, ParkedStream
from infrastructure.views.sql.parked_counts import parked_counts
from infrastructure.views.sql.reader import ViewReader

# In the order of the log.
_PARKED: Final = text("""
SELECT k.stream, k.version, k.position, k.event_id, e.topic, k.error, k.parked_at,
       greatest(k.last_version, k.version) - k.version + 1
FROM parked k
LEFT JOIN stored_events e ON e.notification_id = k.position
WHERE k.tenant = :tenant AND k.projection = :name AND k.position > :after
  AND k.generation = (SELECT generation FROM projections WHERE tenant = :tenant AND name = :name)
ORDER BY k.position LIMIT :limit""")
_PAUSE: Final = text("""
WITH paused AS (
    UPDATE projections
    SET paused_at = coalesce(paused_at, clock_timestamp()), paused_by = :actor,
        pause_reason = :reason
    WHERE tenant = :tenant AND name = :name
    RETURNING name)
SELECT pg_notify('rollbook_bells', 'generations') FROM paused""")
_RESUME: Final = text("""
WITH resumed AS (
    UPDATE projections SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
    WHERE tenant = :tenant AND name = :name
    RETURNING name)
SELECT pg_notify('rollbook_bells', 'generations') FROM resumed""")


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
        counts = await parked_counts(self._reader)
        return {name: streams for (name, _), streams in sorted(counts.items()) if streams}

    async def pause(self, projection: str, reason: str | None, actor: str | None) -> None:
        given = {"tenant": TENANT, "name": projection, "reason": reason, "actor": actor}
        await self._reader.rows(_PAUSE, given)

    async def resume(self, projection: str) -> None:
        await self._reader.rows(_RESUME, {"tenant": TENANT, "name": projection})
