"""Builds that stand still in one of their phases, so that a test can end or replace them there."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

import psycopg
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.jobs.model import Job, JobKind
from application.log.by_stream import EventsByStream, Place
from application.projector.rebuild_jobs import rebuild_jobs
from application.projector.view_store import Slot
from domain.event import Event, Recorded
from domain.user.events import UserRegistered
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.users import USERS
from tests.support.doubles.notifications import InMemoryNotifications
from tests.support.jobs.jobs import Bench
from tests.support.run.background import in_background
from tests.support.views.directory import execute
from tests.support.views.projectors import run_projectors
from tests.support.views.rebuilding import Rebuilder

Phase = Literal["backfill", "index", "waiting", "compare"]
PHASES: Final[tuple[Phase, ...]] = ("backfill", "index", "waiting", "compare")

_LOCKS: Final[dict[Phase, str]] = {
    "index": "LOCK TABLE users_g2 IN ROW EXCLUSIVE MODE",
    "compare": "LOCK TABLE users_g1 IN ACCESS EXCLUSIVE MODE",
}
_WAITS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE %s"""
_QUERIES: Final[dict[Phase, str]] = {"index": "%CREATE%INDEX%", "compare": "%WITH moving%"}


class Gate:
    """See `EventsByStream`; nothing is read while the gate is closed."""

    def __init__(self, events: EventsByStream) -> None:
        self._events = events
        self.open = asyncio.Event()

    async def about_how_many(self, up_to: int) -> int:
        return await self._events.about_how_many(up_to)

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        await self.open.wait()
        return await self._events.read(kinds, after, up_to, limit)


class StoppedBuild:
    """A rebuild of the users as a job, with a projector of the serving generation only."""

    def __init__(self, rebuilder: Rebuilder, bench: Bench) -> None:
        self.rebuilder = rebuilder
        self.bench = bench
        self._gate = Gate(rebuilder.ports.events_by_stream)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        async with AsyncExitStack() as stack:
            rebuilder = await stack.enter_async_context(Rebuilder.open(url))
            bench = await stack.enter_async_context(Bench.in_postgres(url))
            side = rebuilder.read_side
            work = run_projectors([Slot(USERS)], side.views, side.events.feed, side.doorbell)
            await stack.enter_async_context(in_background(work))
            build = cls(rebuilder, bench)
            for n in range(3):
                await build._register(n)
            await rebuilder.caught_up()
            yield build

    @property
    def kinds(self) -> list[JobKind]:
        """The kinds of builds; their worker reads through the gate."""
        ports = replace(self.rebuilder.ports, events_by_stream=self._gate)
        notifier = InMemoryNotifications(MemoryDoorbell(), uuid7, lambda: datetime.now(UTC))
        return rebuild_jobs([USERS], ports, notifier)

    @asynccontextmanager
    async def stopped_in(self, phase: Phase) -> AsyncGenerator[Job]:
        """The job, once its run stands still in a phase; it goes on at the end of the block."""
        job = await self.bench.submit("rebuild", {"projection": "users"})
        await self._until("filling")
        async with AsyncExitStack() as stack:
            if phase in _LOCKS:
                await stack.enter_async_context(self._locked(phase))
            if phase == "waiting":
                # Only the serving generation is projected, so the other one stays behind.
                await self._register(4)
            if phase != "backfill":
                self._gate.open.set()
            if phase == "waiting":
                await self._until("following")
            elif phase in _QUERIES:
                await self.until_blocked(phase)
            yield job
        self._gate.open.set()

    async def until_blocked(self, phase: Phase, *, is_blocked: bool = True) -> None:
        """Wait until a statement of the phase waits for a lock, or none does any more."""
        if phase not in _QUERIES:
            return
        async with asyncio.timeout(10):
            while bool((await self._rows(_WAITS, _QUERIES[phase]))[0][0]) != is_blocked:
                await asyncio.sleep(0.02)

    async def left(self) -> list[tuple[int, str]]:
        """The generations that are not dropped, and tables of the second one."""
        tables = await self._rows(
            "SELECT 2, relname::text FROM pg_class WHERE relname LIKE 'users_g2%%'"
        )
        return [*await self.rebuilder.generations(), *tables]

    async def _until(self, state: str) -> None:
        async with asyncio.timeout(10):
            while (2, state) not in await self.rebuilder.generations():
                await asyncio.sleep(0.02)

    async def _register(self, n: int) -> None:
        user = UserRegistered(name=f"N{n}", email=f"n{n}@example.org", role="member")
        await self.rebuilder.read_side.record(user)

    @asynccontextmanager
    async def _locked(self, phase: Phase) -> AsyncGenerator[None]:
        async with await psycopg.AsyncConnection.connect(self.rebuilder.url) as connection:
            await connection.execute(_LOCKS[phase].encode())
            yield

    async def _rows(self, query: str, *values: Any) -> list[Any]:
        return await execute(self.rebuilder.url, query, *values)
