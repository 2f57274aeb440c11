"""Shares the partitions of a generation: a process that leads two more than another lets one go."""

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

_LOOK_SECONDS: Final = 0.4
_REPLY_SECONDS: Final = 5.0
# So long a partition that was let go is left to others, and no further one is let go.
_PAUSE_SECONDS: Final = 2.0
# As for those who lead: a session that says nothing for longer belongs to a frozen process.
_SETTINGS: Final = "SELECT set_config('idle_session_timeout', '1500', false)"
_ANNOUNCE: Final = "SELECT pg_advisory_unlock_all(), pg_advisory_lock_shared(%s)"
_ANNOUNCED: Final = """
SELECT EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (classid::bigint << 32 | objid::bigint) = ANY(%s::bigint[]))"""


class PartitionBalance:
    """What this process leads of one generation. It says so by a lock that is shared by all who do.

    Who leads few and waits for more is seen by who leads many. Nothing depends on it but how the
    work is spread: a partition has one leader by its own lock, whatever is announced here.
    """

    def __init__(self, database_url: str, slot: Slot[Any]) -> None:
        self._database_url = database_url
        self._name = f"share {TENANT}/{slot.projection.name}/{slot.generation}"
        self._led: dict[int, LeadingSession] = {}
        self._let_go: int | None = None
        self._pause_ends = 0.0
        self._leads = 0
        self._keeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lead(self, slot: Slot[Any]) -> AsyncGenerator[LeadingSession]:
        """See `lead_session`; the session may end for the sake of another process."""
        self._leads += 1
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        try:
            if slot.partition == self._let_go:
                await asyncio.sleep(self._pause_ends - _now())
            async with lead_session(self._database_url, slot) as session:
                self._led[slot.partition] = session
                try:
                    yield session
                finally:
                    del self._led[slot.partition]
        finally:
            self._leads -= 1
            if not self._leads:
                await self._end()

    async def _end(self) -> None:
        if keeper := self._keeper:
            self._keeper = None
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self) -> None:
        """Announce how many are led, and let one go where somebody has too few, for ever."""
        while True:
            with suppress(psycopg.Error, OSError):
                async with await connect(self._database_url, "rollbook projector") as connection:
                    await connection.execute(_SETTINGS)
                    await self._look_on(connection)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _look_on(self, connection: Connection) -> None:
        announced = None
        while True:
            led = len(self._led)
            async with answered_within(_REPLY_SECONDS, connection):
                if led != announced:
                    await connection.execute(_ANNOUNCE, (self._key(led),))
                    announced = led
                fewer = [self._key(others) for others in range(led - 1)]
                # Asked also where nothing can come of it: it keeps the session from being ended.
                row = await (await connection.execute(_ANNOUNCED, (fewer,))).fetchone()
                if row is not None and row[0] and _now() > self._pause_ends:
                    await self._let_one_go()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _let_one_go(self) -> None:
        partition = max(self._led)
        session = self._led[partition]
        # Between two pages: none is done twice.
        async with session.turn:
            self._let_go, self._pause_ends = partition, _now() + _PAUSE_SECONDS
            abort(session.connection)

    def _key(self, led: int) -> int:
        return lock_key(f"{self._name} {led}")


def _now() -> float:
    return asyncio.get_running_loop().time()
