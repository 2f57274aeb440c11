"""Verification under load: no false difference, and a repair at the same time does no harm."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from application.projector.parked import NothingParked
from application.verification.jobs import verify_generation
from infrastructure.views.repair.repairs import PostgresRepairs
from projections.headcount import HEADCOUNT
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import registered, renamed
from tests.integration.views.test_rebuild import histories
from tests.support.run.background import module_process
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS
from tests.support.views.verifying import ports_of, verify_projection

SHARED = replace(HEADCOUNT, name="shared", partitions=4)


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    projections = [*PROJECTIONS, NEWCOMERS, SHARED]
    async with Rebuilder.open(database_url, projections) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder


async def caught_up(rebuilder: Rebuilder) -> None:
    for name in rebuilder.projections:
        await rebuilder.caught_up(name)


async def _retry_or_skip(rebuilder: Rebuilder, chance: random.Random) -> None:
    """Retry or skip what is parked, without end."""
    while True:
        for name in ("users", "newcomers"):
            for parked in (await rebuilder.admin.parked(name, 0, 5)).items:
                try:
                    if chance.random() < 0.5:
                        await rebuilder.admin.retry(name, parked.stream)
                    else:
                        await rebuilder.admin.skip(name, parked.stream, None, "a test", "token:t")
                except NothingParked:
                    continue
        await asyncio.sleep(0.05)


async def test_no_difference_is_named_while_users_register_change_and_are_erased(
    rebuilder: Rebuilder,
) -> None:
    chance = random.Random(11)
    writing = asyncio.create_task(histories(rebuilder, chance, scaled(150)))
    retrying = asyncio.create_task(_retry_or_skip(rebuilder, chance))
    rounds = events = 0
    while not writing.done() or not rounds:
        for name in rebuilder.projections:
            for slot in await verify_projection(rebuilder, name, repair=rounds % 2 == 1):
                assert (slot.matches, slot.differing, list(slot.counters)) == (True, 0, []), name
                assert slot.log == slot.views
                events += slot.log.events
        rounds += 1
    await writing
    retrying.cancel()
    await asyncio.gather(retrying, return_exceptions=True)
    assert rounds > 1
    assert events
    await caught_up(rebuilder)
    assert await rebuilder.differences() == []


async def test_damage_is_repaired_under_load(rebuilder: Rebuilder) -> None:
    chance = random.Random(12)
    await histories(rebuilder, chance, 20)
    await caught_up(rebuilder)
    writing = asyncio.create_task(histories(rebuilder, chance, scaled(60)))
    while not writing.done():
        for statement in (
            "DELETE FROM headcount_g1 WHERE random() < 0.1",
            "UPDATE headcount_g1_counters SET value = value + 3",
            "UPDATE shared_g1 SET role = 'other' WHERE random() < 0.3",
            "UPDATE shared_g1_counters SET value = value * 2 WHERE partition < 2",
        ):
            await execute(rebuilder.url, statement)
        for name in ("headcount", "shared"):
            # A stream whose next event came before the repair is parked; a retry brings it back.
            await verify_projection(rebuilder, name, repair=True)
            await _retry_all(rebuilder, name)
        await asyncio.sleep(0.1)
    await writing
    await caught_up(rebuilder)
    for name in ("headcount", "shared"):
        await _retry_all(rebuilder, name)
        await verify_projection(rebuilder, name, repair=True)
        assert all(slot.matches for slot in await verify_projection(rebuilder, name))
    assert await execute(rebuilder.url, "SELECT 1 FROM parked WHERE projection = 'headcount'") == []


async def _retry_all(rebuilder: Rebuilder, name: str) -> None:
    for parked in (await rebuilder.admin.parked(name, 0, 200)).items:
        await rebuilder.admin.retry(name, parked.stream)


async def test_events_during_a_repair_are_folded_after_it(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.verification.verify._PAGE_EVENTS", 1)
    users = sorted([await rebuilder.read_side.record(registered(name)) for name in ("A", "B")])
    await caught_up(rebuilder)
    await execute(rebuilder.url, "UPDATE users_g1 SET name = 'X' WHERE id = %s", users[1])

    async def report(done: int, total: int | None) -> None:
        if done == 1:
            await renamed(rebuilder, users[0], "A two")
            await renamed(rebuilder, users[1], "B two")
            await rebuilder.caught_up()

    [slots] = await rebuilder.slots.filled(rebuilder.projections["users"])
    ports = ports_of(rebuilder)
    [slot] = await verify_generation(slots, ports, report, repairing=True)
    assert (slot.streams, slot.repaired, slot.matches) == ([users[1]], 1, True)
    rows = await execute(rebuilder.url, "SELECT version, name FROM users_g1 ORDER BY id")
    assert rows == [(2, "A two"), (2, "B two")]
    assert await rebuilder.differences() == []


async def test_no_page_moves_while_a_stream_is_locked(rebuilder: Rebuilder) -> None:
    user = await rebuilder.read_side.record(registered("A"))
    await caught_up(rebuilder)
    [slots] = await rebuilder.slots.filled(rebuilder.projections["users"])
    async with PostgresRepairs.open(rebuilder.url, slots) as repairs:
        async with repairs.lock(slots[0], user) as locked_stream:
            await renamed(rebuilder, user, "A two")
            await rebuilder.caught_up("headcount")
            rows = await execute(
                rebuilder.url, "SELECT position FROM checkpoints WHERE projection = 'users'"
            )
            assert (locked_stream.position, rows) == (1, [(1,)])
        # Without a commit nothing was changed, and the projector continues.
        await rebuilder.caught_up("users")
    assert await execute(rebuilder.url, "SELECT name FROM users_g1") == [("A two",)]


@pytest.mark.parametrize("what", ["add", pytest.param("replaced", marks=pytest.mark.long)])
async def test_a_killed_repair_leaves_each_row_old_or_new_and_the_next_completes(
    rebuilder: Rebuilder, what: str
) -> None:
    await histories(rebuilder, random.Random(13), 12)
    await caught_up(rebuilder)
    truth = await _stored(rebuilder)
    await execute(rebuilder.url, "UPDATE headcount_g1 SET role = 'other' WHERE status = 'active'")
    await execute(rebuilder.url, "UPDATE headcount_g1_counters SET value = value + 5")
    damaged = await _stored(rebuilder)
    assert damaged[0] != truth[0]
    async with module_process("tests.support.processes.repair", rebuilder.url, what) as process:
        # The process has reached the point and waits there.
        process.kill()
        await process.wait()
    for row, before, after in zip(await _rows(rebuilder), damaged[0], truth[0], strict=True):
        assert row in (before, after)
    found = await verify_projection(rebuilder, "headcount", repair=True)
    assert all(slot.matches for slot in found)
    assert await _stored(rebuilder) == truth


async def _rows(rebuilder: Rebuilder) -> Sequence[Any]:
    return await execute(
        rebuilder.url, "SELECT id, version, status, role FROM headcount_g1 ORDER BY 1"
    )


async def _stored(rebuilder: Rebuilder) -> tuple[Sequence[Any], Sequence[Any]]:
    sums = """SELECT counter, value FROM headcount_g1_counters WHERE value <> 0 ORDER BY 1"""
    return await _rows(rebuilder), await execute(rebuilder.url, sums)
