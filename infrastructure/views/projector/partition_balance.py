"""Balances partitions: a process that leads two more of a generation than another releases one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.leadership import LeadingSession, lock_key
from infrastructure.postgres import Connection, abort, answered_within, connect
from infrastructure.views.sql.slot_lock import lead_session

_CHECK_SECONDS: Final = 0.4
_REPLY_SECONDS: Final = 5.0
# For this time a released partition is left to other processes, and no further one is released.
_PAUSE_SECONDS: Final = 2.0
# As for leaders: a session that is silent for longer belongs to a frozen process.
_SETTINGS: Final = "SELECT set_config('idle_session_timeout', '1500', false)"
_ANNOUNCE: Final = "SELECT pg_advisory_unlock_all(), pg_advisory_lock_shared(%s)"
_ANNOUNCED: Final = """
SELECT EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (classid::bigint << 32 | objid::bigint) = ANY(%s::bigint[]))"""


class PartitionBalance:
    """The partitions of one generation that this process leads, announced by a shared lock.

    The lock's key contains their number, so that a process that leads many finds processes that
    lead few. This only balances the work: a partition's own lock allows one leader in any case.
    """

    def __init__(self, database_url: str, slot: Slot[Any]) -> None:
        self._database_url = database_url
        self._name = f"share {TENANT}/{slot.projection.name}/{slot.generation}"
        self._led: dict[int, LeadingSession] = {}
        self._released: int | None = None
        self._pause_ends = 0.0
        self._leaders = 0
        self._balancer: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lead(self, slot: Slot[Any]) -> AsyncGenerator[LeadingSession]:
        """See `lead_session`; the session may end so that another process can lead the slot."""
        self._leaders += 1
        if self._balancer is None:
            self._balancer = asyncio.create_task(self._balance())
        try:
            if slot.partition == self._released:
                await asyncio.sleep(self._pause_ends - _now())
            async with lead_session(self._database_url, slot) as session:
                self._led[slot.partition] = session
                try:
                    yield session
                finally:
                    del self._led[slot.partition]
        finally:
            self._leaders -= 1
            if not self._leaders:
                await self._end()

    async def _end(self) -> None:
        if balancer := self._balancer:
            self._balancer = None
            balancer.cancel()
            await asyncio.gather(balancer, return_exceptions=True)

    async def _balance(self) -> None:
        """Announce how many partitions are led, and release one if another process has too few."""
        while True:
            with suppress(psycopg.Error, OSError):
                async with await connect(self._database_url, "rollbook projector") as connection:
                    await connection.execute(_SETTINGS)
                    await self._watch(connection)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _watch(self, connection: Connection) -> None:
        announced = None
        while True:
            led = len(self._led)
            async with answered_within(_REPLY_SECONDS, connection):
                if led != announced:
                    await connection.execute(_ANNOUNCE, (self._key(led),))
                    announced = led
                fewer = [self._key(others) for others in range(led - 1)]
                # Also executed for an empty list, because it keeps the session alive.
                row = await (await connection.execute(_ANNOUNCED, (fewer,))).fetchone()
                if row is not None and row[0] and _now() > self._pause_ends:
                    await self._release_one()
            await asyncio.sleep(_CHECK_SECONDS)

    async def _release_one(self) -> None:
        partition = max(self._led)
        session = self._led[partition]
        # Between two pages, so that no page is done twice.
        async with session.turn:
            self._released, self._pause_ends = partition, _now() + _PAUSE_SECONDS
            abort(session.connection)

    def _key(self, led: int) -> int:
        return lock_key(f"{self._name} {led}")


def _now() -> float:
    return asyncio.get_running_loop().time()
