"""A feed of changed streams: only their ids are read, no event is decrypted or decoded."""

from typing import Final

from application.cache.ports import ChangedStreams
from infrastructure.database import Database

_CHANGED: Final = """
SELECT notification_id, kind, originator_id FROM stored_events
WHERE notification_id > %s ORDER BY notification_id LIMIT %s"""


class PostgresChangeFeed:
    """Commit order is position order, so no stream that changed up to `reached` is missing."""

    def __init__(self, reader: Database) -> None:
        self._reader = reader

    async def changed(self, after: int, limit: int) -> ChangedStreams:
        """See `ChangeFeed.changed`."""
        rows = await self._reader.rows(_CHANGED, (after, limit))
        streams = {(kind, stream) for _, kind, stream in rows}
        return ChangedStreams(streams, rows[-1][0] if rows else after)
