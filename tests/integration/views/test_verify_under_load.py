"""Verification under load: no false difference, also when it is killed, and repairs that hold."""

import asyncio
import random
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from application.projector.parked import AnotherEventFirst, NothingParked
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import registered
from tests.integration.views.test_rebuild import histories
from tests.integration.views.test_rebuild_killed import kill_after
from tests.integration.views.test_verify import table_of
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder


async def _retry_or_skip(rebuilder: Rebuilder, chance: random.Random, freed: set[UUID]) -> None:
    """Retry or skip what is parked, without end; `freed` gets the streams before that."""
    while True:
        for name in ("users", "newcomers"):
            for parked in (await rebuilder.admin.parked(name, 0, 5)).items:
                freed.add(parked.stream)
                try:
                    if chance.random() < 0.5:
                        await rebuilder.admin.retry(name, parked.stream)
                    else:
                        await rebuilder.admin.skip(
                            name, parked.stream, parked.version, "a test", "token:t"
                        )
                except (NothingParked, AnotherEventFirst):
                    continue
        await asyncio.sleep(0.05)


async def _parked_streams(rebuilder: Rebuilder, name: str) -> set[UUID]:
    """The streams that are parked in the serving generation."""
    serving = int((await table_of(rebuilder, name)).rpartition("g")[2])
    query = "SELECT DISTINCT stream FROM parked WHERE projection = %s AND generation = %s"
    return {stream for (stream,) in await execute(rebuilder.url, query, name, serving)}


async def test_no_difference_is_named_while_users_register_change_and_are_erased(
    rebuilder: Rebuilder,
) -> None:
    chance = random.Random(11)
    writing = asyncio.create_task(histories(rebuilder, chance, scaled(150)))
    freed = set[UUID]()
    retrying = asyncio.create_task(_retry_or_skip(rebuilder, chance, freed))
    rounds = 0
    while not writing.done() or not rounds:
        for name in (projection.name for projection in PROJECTIONS):
            freed.clear()
            parked = await _parked_streams(rebuilder, name)
            repair = rounds % 2 == 1
            found = await rebuilder.verify(name, repair=repair)
            # A fresh fold can apply what was parked before the person's name was erased.
            # One that was parked and freed during the comparison is in neither list.
            parked |= await _parked_streams(rebuilder, name) | freed
            differing = set(found["compared"]["streams"])
            assert {str(stream) for stream in parked} >= differing, found
            assert found["switched"] == bool(differing and repair), found
            assert found["compared"]["counters"] == []
        rounds += 1
    await writing
    retrying.cancel()
    await asyncio.gather(retrying, return_exceptions=True)
    for name in rebuilder.projections:
        await rebuilder.caught_up(name)
    assert await rebuilder.differences() == []


async def test_damage_is_repaired_under_load(rebuilder: Rebuilder) -> None:
    chance = random.Random(12)
    await histories(rebuilder, chance, 20)
    await rebuilder.caught_up("headcount")
    writing = asyncio.create_task(histories(rebuilder, chance, scaled(60)))
    while not writing.done():
        table = await table_of(rebuilder, "headcount")
        for statement in (
            f"DELETE FROM {table} WHERE random() < 0.1",
            f"UPDATE {table} SET role = 'other' WHERE random() < 0.3",
            f"UPDATE {table}_counters SET value = value + 3",
        ):
            await execute(rebuilder.url, statement)
        assert (await rebuilder.verify("headcount", repair=True))["switched"]
        await asyncio.sleep(0.1)
    await writing
    await rebuilder.caught_up("headcount")
    assert (await rebuilder.verify("headcount"))["right"]
    table = await table_of(rebuilder, "headcount")
    parked = "SELECT count(*) FROM parked WHERE projection = 'headcount' AND generation = %s"
    assert await execute(rebuilder.url, parked, int(table.rpartition("g")[2])) == [(0,)]


@pytest.mark.parametrize("what", ["compare", pytest.param("store", marks=pytest.mark.long)])
async def test_a_killed_verification_is_done_again_and_changes_nothing(
    rebuilder: Rebuilder, what: str
) -> None:
    for n in range(12):
        await rebuilder.read_side.record(registered(f"N{n}"))
    await rebuilder.caught_up()
    await execute(rebuilder.url, "UPDATE users_g1 SET name = 'X' WHERE name = 'N7'")
    await kill_after(rebuilder.url, what, 1, "never")
    found = await rebuilder.rebuild(by="test", switch_if="never")
    assert (found["generation"], found["compared"]["differing"]) == (2, 1)
    assert await rebuilder.generations() == [(1, "following")]
    assert await execute(rebuilder.url, "SELECT count(*) FROM users_g1 WHERE name = 'X'") == [(1,)]
