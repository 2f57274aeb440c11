"""Notifications in Postgres: a small table, and a doorbell that rings for a new row."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.context import TENANT
from application.live.notifications import Notification, Severity
from infrastructure.database import Database
from infrastructure.postgres import Connection

_SECONDS: Final = 2.0
_MAX_ROWS: Final = 1000
# The row locks are held while it counts.
_MAX_COUNTED: Final = 10_000

# One insert at a time, so that numbers rise in the order of commits: a reader of one number has
# seen all lower ones.
_LOCK: Final = "SELECT pg_advisory_xact_lock(1383034987, 7)"
_INSERT: Final = """
WITH told AS (
    INSERT INTO notifications (tenant, id, severity, message, about)
    VALUES (%(tenant)s, %(id)s, %(severity)s, %(message)s, %(about)s)
    RETURNING number
), forgotten AS (
    DELETE FROM notifications
    WHERE number <= (SELECT number FROM told) - %(kept)s
       OR told_at < clock_timestamp() - interval '1 day')
SELECT pg_notify('rollbook_bells', 'notifications') FROM told"""
_NEWEST: Final = "SELECT coalesce(max(number), 0) FROM notifications WHERE tenant = %s"
_AFTER: Final = """
SELECT number, id, severity, message, about, told_at FROM notifications
WHERE tenant = %s AND number > %s ORDER BY number LIMIT %s"""
_PARKED: Final = """
SELECT p.name, p.told_parked, (
    SELECT count(*) FROM (
        SELECT FROM parked k
        WHERE k.tenant = p.tenant AND k.projection = p.name AND k.generation = p.generation
        LIMIT %s) counted)
FROM projections p WHERE p.tenant = %s ORDER BY p.name FOR UPDATE"""
_SET_NOTIFIED: Final = "UPDATE projections SET told_parked = %s WHERE tenant = %s AND name = %s"
_PARKED_USERS: Final = """
SELECT r.name, r.notified_parked, (
    SELECT count(*) FROM (
        SELECT FROM reaction_runs k
        WHERE k.tenant = r.tenant AND k.reaction = r.name AND k.state = 'parked'
            AND k.position > r.discarded_to
        LIMIT %s) counted)
FROM reactions r WHERE r.tenant = %s ORDER BY r.name FOR UPDATE"""
_SET_NOTIFIED_USERS: Final = """
UPDATE reactions SET notified_parked = %s WHERE tenant = %s AND name = %s"""


class _Watched(Struct, frozen=True):
    """What may be parked: its count by name, the record of the last one notified, and its words."""

    counts: str
    set_notified: str
    path: str
    noun: str


_WATCHED: Final = (
    _Watched(_PARKED, _SET_NOTIFIED, "/v1/projections", "stream"),
    _Watched(_PARKED_USERS, _SET_NOTIFIED_USERS, "/v1/reactions", "user"),
)


class PostgresNotifications:
    """See `Notifier`, `NotificationLog` and `ParkedWatch`."""

    def __init__(self, database: Database, new_id: Callable[[], UUID]) -> None:
        self._database = database
        self._new_id = new_id

    async def notify(self, severity: Severity, message: str, about: str) -> None:
        async with self._database.transaction(_SECONDS) as connection:
            await self.insert(connection, severity, message, about)

    async def newest(self) -> int:
        rows = await self._database.rows(_NEWEST, (TENANT,))
        return rows[0][0]

    async def after(self, number: int, limit: int) -> Sequence[tuple[int, Notification]]:
        rows = await self._database.rows(_AFTER, (TENANT, number, limit))
        return [(row[0], _notification(row)) for row in rows]

    async def notify_parked(self) -> None:
        """See `ParkedWatch.notify_parked`. The row lock lets one process notify."""
        for watched in _WATCHED:
            async with self._database.transaction(_SECONDS) as connection:
                await self._notify_parked(connection, watched)

    async def _notify_parked(self, connection: Connection, watched: _Watched) -> None:
        counts: Any = watched.counts
        set_notified: Any = watched.set_notified
        rows = await (await connection.execute(counts, (_MAX_COUNTED, TENANT))).fetchall()
        for name, notified, parked in rows:
            if notified == parked:
                continue
            await connection.execute(set_notified, (parked, TENANT, name))
            about = f"{watched.path}/{name}/parked"
            if parked == 0:
                message = f"{name}: nothing is parked any more"
                await self.insert(connection, "success", message, about)
            else:
                severity: Severity = "warning" if parked > notified else "info"
                message = f"{name}: {_number(parked, watched.noun)}"
                await self.insert(connection, severity, message, about)

    async def insert(
        self, connection: Connection, severity: Severity, message: str, about: str
    ) -> None:
        """Send a notification with the transaction of a connection."""
        await connection.execute(_LOCK)
        given = {
            "tenant": TENANT,
            "id": self._new_id(),
            "severity": severity,
            "message": message,
            "about": about,
            "kept": _MAX_ROWS,
        }
        await connection.execute(_INSERT, given)


def _number(parked: int, noun: str) -> str:
    if parked >= _MAX_COUNTED:
        return f"{parked:,} parked {noun}s or more"
    return f"{parked} parked {noun if parked == 1 else noun + 's'}"


def _notification(row: Sequence[Any]) -> Notification:
    _, notification_id, severity, message, about, time = row
    return Notification(
        id=notification_id, severity=severity, message=message, about=about, time=time
    )
