"""Deletes old rows in transactions of at most a few thousand rows, so that locks are short."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from application.context import TENANT
from application.errors import Unavailable
from infrastructure.postgres import Connection, answered_within, connect, is_outage

_ROWS: Final = 2000
_PAGES: Final = 128
_SECONDS: Final = 30.0
# Each export is deleted with all its pieces.
_EXPORTS_AT_ONCE: Final = 4

# Rows that come back after a crash are deleted by the next purge.
_ASYNCHRONOUS_COMMIT: Final = "SELECT set_config('synchronous_commit', 'off', false)"
_TABLE_PAGES: Final = """
SELECT pg_relation_size('receipts') / current_setting('block_size')::bigint"""
RECEIPTS: Final = """
DELETE FROM receipts
WHERE ctid >= format('(%%s,0)', %(page)s::bigint)::tid
  AND ctid < format('(%%s,0)', %(page)s::bigint + %(pages)s::bigint)::tid
  AND recorded_at < %(before)s"""
_TICKETS: Final = """
DELETE FROM tickets WHERE (digest, tenant) IN (
    SELECT digest, tenant FROM tickets WHERE expires_at < now()
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"""
_EXPORTS: Final = """
DELETE FROM exports WHERE (id, tenant) IN (
    SELECT e.id, e.tenant FROM exports e LEFT JOIN jobs j ON j.id = e.id AND j.tenant = e.tenant
    WHERE j.finished_at < %(before)s OR (j.id IS NULL AND e.asked_at < %(before)s)
    LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED)"""
_JOBS: Final = Path(__file__).with_name("finished_jobs.sql").read_bytes()


class OldReceipts:
    """Scans the whole table once, page by page.

    A BRIN index by time would not help: pages are emptied and refilled, so that in the end every
    page contains rows of all times.
    """

    name = "receipts"

    def __init__(self, database_url: str, retention: timedelta) -> None:
        self._database_url = database_url
        self._retention = retention

    async def remove_old(self) -> AsyncGenerator[int]:
        """See `ShortLived.remove_old`."""
        before = datetime.now(UTC) - self._retention
        async with _session(self._database_url) as connection:
            row = await (await connection.execute(_TABLE_PAGES)).fetchone()
            assert row is not None
            for page in range(0, row[0], _PAGES):
                values = {"page": page, "pages": _PAGES, "before": before}
                yield await _deleted(connection, RECEIPTS, values)


class OldTickets:
    """Expired unused tickets, by the server's clock."""

    name = "tickets"

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def remove_old(self) -> AsyncGenerator[int]:
        """See `ShortLived.remove_old`."""
        async with _session(self._database_url) as connection:
            while rows := await _deleted(connection, _TICKETS, {"limit": _ROWS}):
                yield rows


class OldExports:
    """Exports whose job finished long ago, or was never recorded."""

    name = "exports"

    def __init__(self, database_url: str, retention: timedelta) -> None:
        self._database_url = database_url
        self._retention = retention

    async def remove_old(self) -> AsyncGenerator[int]:
        """See `ShortLived.remove_old`."""
        values = {"before": datetime.now(UTC) - self._retention, "limit": _EXPORTS_AT_ONCE}
        async with _session(self._database_url) as connection:
            while rows := await _deleted(connection, _EXPORTS, values):
                yield rows


class OldJobs:
    """Jobs that finished long ago, in the order of their ids."""

    name = "jobs"

    def __init__(self, database_url: str, retention: timedelta) -> None:
        self._database_url = database_url
        self._retention = retention

    async def remove_old(self) -> AsyncGenerator[int]:
        """See `ShortLived.remove_old`."""
        before = datetime.now(UTC) - self._retention
        values = {"tenant": TENANT, "limit": _ROWS, "before": before, "newest": first_id(before)}
        after = UUID(int=0)
        async with _session(self._database_url) as connection:
            while True:
                async with answered_within(_SECONDS, connection):
                    cursor = await connection.execute(_JOBS, {**values, "after": after})
                    row = await cursor.fetchone()
                assert row is not None
                if row[0] is None:
                    return
                after = row[0]
                yield row[1]


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment (RFC 9562, section 5.7)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62)


async def _deleted(connection: Connection, query: str, values: dict[str, Any]) -> int:
    async with answered_within(_SECONDS, connection):
        return (await connection.execute(query.encode(), values)).rowcount


@asynccontextmanager
async def _session(database_url: str) -> AsyncGenerator[Connection]:
    connection = None
    try:
        async with await connect(database_url, "rollbook purge") as connection:
            await connection.execute(_ASYNCHRONOUS_COMMIT)
            yield connection
    except (psycopg.Error, OSError) as error:
        if connection is None or is_outage(error, connection):
            raise Unavailable from error
        raise
