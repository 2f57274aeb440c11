"""The log stream by stream: pages over its primary key, each read by its own short statement."""

from collections.abc import Collection, Sequence
from typing import Final, cast

from application.log.by_stream import Place
from domain.event import Event, Recorded
from infrastructure.database import Database
from infrastructure.event_store.mapper import RollbookMapper
from infrastructure.event_store.stored_rows import COLUMNS, PROBED_KEY, StoredRow

_COUNT: Final = "SELECT count(*) FROM stored_events WHERE notification_id <= %s"
# One probe per row: a merge join would scan all earlier keys for each page.
_PAGE: Final = f"""
SELECT {COLUMNS} FROM stored_events e {PROBED_KEY}
WHERE (e.originator_id, e.originator_version) > (%s, %s)
  AND e.notification_id <= %s AND e.kind = ANY(%s)
ORDER BY e.originator_id, e.originator_version LIMIT %s"""

# No client waits for a single page, so a page may take long.
_SECONDS: Final = 30.0


class PostgresEventsByStream:
    """See `EventsByStream`. No database snapshot is open between pages: it would block vacuum."""

    def __init__(self, reader: Database, mapper: RollbookMapper) -> None:
        self._reader = reader
        self._mapper = mapper

    async def count(self, up_to: int) -> int:
        """See `EventsByStream.count`."""
        rows = await self._reader.rows(_COUNT, (up_to,), seconds=_SECONDS)
        return cast("int", rows[0][0])

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        """See `EventsByStream.read`."""
        parameters = (after.stream, after.version, up_to, list(kinds), limit)
        rows = await self._reader.rows(_PAGE, parameters, seconds=_SECONDS)
        return [self._mapper.recorded(StoredRow.of(row), leniently=True) for row in rows]
