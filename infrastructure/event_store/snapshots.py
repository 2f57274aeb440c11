"""Writes snapshots in the background: one at a time, with a bounded queue; they may be lost."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import UUID

import psycopg
from structlog import get_logger

from application.context import TENANT
from application.keys.ports import KeyRing
from application.log.event_log import StreamKey, StreamSnapshot
from infrastructure.event_store.sealed_snapshots import sealed
from infrastructure.postgres import Connection, abort, answered_within, connect

QUEUE_BYTES: Final = 8 * 1024 * 1024
_WRITE_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 1.0

# Snapshots lost in a crash are made again, so the commit need not wait for the disk. It must also
# not wait for a standby: it locks the person's key, and an erasure that waits for this lock blocks
# all other commands.
_SETTINGS: Final = "SELECT set_config('synchronous_commit', 'off', false)"
# A snapshot that cannot be opened is replaced; snapshots that two processes make are equal.
_STORE: Final = """
INSERT INTO snapshots (tenant, stream, form, version, position, created_at, recorded_at, sealed)
SELECT %s, %s, %s, version, position, %s, recorded_at, sealed
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::bytea[])
    AS new (version, position, recorded_at, sealed)
ON CONFLICT (stream, tenant, form, version) DO UPDATE
    SET position = excluded.position, created_at = excluded.created_at,
        recorded_at = excluded.recorded_at, sealed = excluded.sealed"""

log = get_logger(__name__)


class PostgresSnapshots:
    """A queue, one task, and one connection that is opened for the first snapshot."""

    def __init__(self, database_url: str, keys: KeyRing) -> None:
        self._database_url = database_url
        self._keys = keys
        self._queue: deque[tuple[Sequence[StreamSnapshot], StreamKey]] = deque()
        self._queued: set[tuple[UUID, int]] = set()
        self._queued_bytes = 0
        self._work = asyncio.Event()
        self._closing = False
        self._connection: Connection | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, keys: KeyRing) -> AsyncGenerator[Self]:
        """Starts the task; on exit it writes the queued snapshots for at most two seconds."""
        self = cls(database_url, keys)
        task = asyncio.create_task(self._run(), name="snapshots")
        try:
            yield self
        finally:
            self._closing = True
            self._work.set()
            await asyncio.wait([task], timeout=_DRAIN_SECONDS)
            task.cancel()
            await asyncio.wait([task])
            await self._disconnect()

    def offer(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        """See `Snapshots.offer`."""
        size = _bytes(snapshots)
        place = _place(snapshots)
        if place in self._queued or self._queued_bytes + size > QUEUE_BYTES or self._closing:
            return
        self._queue.append((snapshots, key))
        self._queued.add(place)
        self._queued_bytes += size
        self._work.set()

    @property
    def waiting(self) -> int:
        """The number of offers that are queued or being written."""
        return len(self._queued)

    async def _run(self) -> None:
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._work.clear()
                await self._work.wait()
            snapshots, key = self._queue.popleft()
            self._queued_bytes -= _bytes(snapshots)
            try:
                await self._store(snapshots, key)
            except psycopg.errors.ForeignKeyViolation:
                # The person was erased meanwhile: the key that the row references is gone.
                pass
            except Exception as error:
                log.warning("snapshot_not_kept", error=type(error).__name__)
                await self._disconnect()
                if not self._closing:
                    await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                self._queued.discard(_place(snapshots))

    async def _store(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        first = snapshots[0]
        cipher = self._keys.cipher(first.stream, key)
        connection = await self._connected()
        async with answered_within(_WRITE_SECONDS, connection):
            await connection.execute(
                _STORE,
                (
                    TENANT,
                    first.stream,
                    first.format,
                    first.created_at,
                    [snapshot.version for snapshot in snapshots],
                    [snapshot.position for snapshot in snapshots],
                    [snapshot.recorded_at for snapshot in snapshots],
                    [sealed(snapshot, cipher) for snapshot in snapshots],
                ),
            )

    async def _connected(self) -> Connection:
        if self._connection is None:
            connection = await connect(self._database_url, "rollbook snapshots")
            self._connection = connection
            async with answered_within(_WRITE_SECONDS, connection):
                await connection.execute(_SETTINGS)
        return self._connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            abort(self._connection)
            await self._connection.close()
            self._connection = None


def _place(snapshots: Sequence[StreamSnapshot]) -> tuple[UUID, int]:
    return snapshots[0].stream, snapshots[0].version


def _bytes(snapshots: Sequence[StreamSnapshot]) -> int:
    return sum(len(snapshot.state or b"") for snapshot in snapshots)
