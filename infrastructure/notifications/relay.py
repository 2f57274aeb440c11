"""Notifications about the relay: one process sends each, whichever looks first."""

from collections.abc import Awaitable, Callable
from typing import Final

from application.context import TENANT
from application.live.relay_notifications import RelayState, relay_notices
from application.messaging.health import is_behind
from application.messaging.rejected import RelayStatus
from infrastructure.database import Database
from infrastructure.notifications.postgres import PostgresNotifications

_SECONDS: Final = 2.0

_BEGIN: Final = "INSERT INTO relay_notified (tenant) VALUES (%s) ON CONFLICT DO NOTHING"
_NOTIFIED: Final = "SELECT rejected, is_behind FROM relay_notified WHERE tenant = %s"
# When several processes find the same change, one of them changes the row.
_SET_NOTIFIED: Final = """
UPDATE relay_notified SET rejected = %s, is_behind = %s
WHERE tenant = %s AND rejected = %s AND is_behind = %s
RETURNING tenant"""


class PostgresRelayWatch:
    """See `RelayWatch`. `status` reads how far the relay is; it may raise `Unavailable`."""

    def __init__(
        self,
        database: Database,
        notifications: PostgresNotifications,
        status: Callable[[], Awaitable[RelayStatus]],
    ) -> None:
        self._database = database
        self._notifications = notifications
        self._status = status

    async def notify_relay(self) -> None:
        rows = await self._database.rows(_NOTIFIED, (TENANT,))
        known = RelayState(*rows[0]) if rows else RelayState()
        status = await self._status()
        now = RelayState(status.rejected, is_behind(status, was_behind=known.is_behind))
        if now == known:
            return
        async with self._database.transaction(_SECONDS) as connection:
            await connection.execute(_BEGIN, (TENANT,))
            given = (now.rejected, now.is_behind, TENANT, known.rejected, known.is_behind)
            if await (await connection.execute(_SET_NOTIFIED, given)).fetchone() is None:
                return
            for notice in relay_notices(known, now):
                await self._notifications.insert(
                    connection, notice.severity, notice.message, notice.about
                )
