"""The relay's records in Postgres: how far it is, and the events that it set aside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from psycopg.types.numeric import Int8

from application.context import TENANT
from application.messaging.rejected import MAX_COUNTED, Rejected, RelayStatus
from infrastructure.database import Database
from infrastructure.leadership import lock_key
from infrastructure.relay.ledger import LEADER

# A smaller lag is normal for an event on its way from the log to the broker.
_BEHIND_SECONDS: Final = 2.0

_STATUS: Final = Path(__file__).with_name("status.sql").read_bytes()
_REJECTED: Final = b"""
SELECT position, event_id, topic, stream, error, rejected_at FROM relay_rejected
WHERE tenant = %s AND position > %s ORDER BY position LIMIT %s"""
_REMOVE: Final = b"DELETE FROM relay_rejected WHERE tenant = %s AND position = ANY (%s)"


class PostgresRelayRecords:
    """See `RelayRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def status(self) -> RelayStatus:
        parameters = {
            "tenant": TENANT,
            "max_counted": Int8(MAX_COUNTED),
            "lock": Int8(lock_key(LEADER)),
        }
        rows = await self._database.rows(_STATUS, parameters)
        position, head, lag_seconds, rejected, rejected_at, is_led = rows[0]
        is_behind = (lag_seconds or 0.0) > _BEHIND_SECONDS
        return RelayStatus(
            position=position,
            head=head,
            lag=head - position,
            lag_seconds=lag_seconds or 0.0,
            rejected=rejected,
            last_rejected_at=rejected_at,
            state="stopped" if not is_led else "catching-up" if is_behind else "live",
        )

    async def rejected(self, after: int, limit: int) -> Sequence[Rejected]:
        parameters = (TENANT, Int8(after), Int8(limit))
        return [
            Rejected(
                position=position,
                event_id=event_id,
                type=topic,
                stream=stream,
                error=error,
                set_aside_at=rejected_at,
            )
            for position, event_id, topic, stream, error, rejected_at in (
                await self._database.rows(_REJECTED, parameters)
            )
        ]

    async def remove(self, positions: Sequence[int]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(_REMOVE, (TENANT, list(positions)))
