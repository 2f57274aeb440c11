"""Two processes and a projection of four partitions: they share it, and either can run all."""

import asyncio
import random
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic

import pytest

from application.projector.view_store import slots_of
from infrastructure.views.sql.slot_lock import lock_of
from tests.integration.views.test_rebuild import histories
from tests.support.processes.shared import SHARED
from tests.support.run.background import module_process
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.verifying import verify_projection

TAKEOVER_SECONDS = 2.0

_LEADERS = """
SELECT (held.classid::bigint << 32 | held.objid::bigint), activity.application_name
FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid)
WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
  AND activity.datname = current_database()"""


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [SHARED]) as rebuilder:
        yield rebuilder


def named(url: str, name: str) -> AbstractAsyncContextManager[Process]:
    """A process whose database sessions have this application name."""
    mark = f"{'&' if '?' in url else '?'}application_name={name}"
    return module_process("tests.support.processes.shared", url + mark)


async def leads(rebuilder: Rebuilder) -> Counter[str]:
    """How many of the four partitions each process leads."""
    locks = {lock_of(slot) for slot in slots_of(SHARED, 1, 4)}
    rows = await execute(rebuilder.url, _LEADERS)
    return Counter(name for key, name in rows if key in locks)


async def until(
    rebuilder: Rebuilder, condition: Callable[[Counter[str]], bool], seconds: float
) -> float:
    """Wait until the leaders meet the condition; the seconds that it took."""
    began = monotonic()
    async with asyncio.timeout(seconds):
        while not condition(await leads(rebuilder)):
            await asyncio.sleep(0.02)
    return monotonic() - began


@asynccontextmanager
async def under_load(rebuilder: Rebuilder) -> AsyncGenerator[None]:
    """Users are registered and changed all the time within the block."""
    over = asyncio.Event()

    async def write() -> None:
        chance = random.Random(5)
        while not over.is_set():
            await histories(rebuilder, chance, 8)
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        over.set()
        await writing


async def test_two_processes_share_four_partitions_and_one_takes_over_from_the_other(
    rebuilder: Rebuilder,
) -> None:
    async with under_load(rebuilder), named(rebuilder.url, "one") as one:
        await until(rebuilder, lambda leads: leads["one"] == 4, 10)
        async with named(rebuilder.url, "two"):
            # A process that starts later gets its share too; then the partitions stay where they are.
            await until(rebuilder, lambda leads: leads == {"one": 2, "two": 2}, 15)
            for _ in range(10):
                await asyncio.sleep(0.1)
                assert await leads(rebuilder) == {"one": 2, "two": 2}
            one.kill()
            await one.wait()
            taken = await until(rebuilder, lambda leads: leads["two"] == 4, 10)
            assert taken < TAKEOVER_SECONDS
            for slot in await verify_projection(rebuilder, "shared"):
                assert (slot.differing, list(slot.counters)) == (0, [])
    async with rebuilder.projecting():
        await rebuilder.caught_up("shared")
    found = await verify_projection(rebuilder, "shared")
    assert all(slot.matches and slot.views.events for slot in found)
