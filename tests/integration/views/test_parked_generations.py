"""Streams that are parked in some generations: rebuilds, switches, retries and skips."""

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from application.projector.generations import StreamsParked
from domain.user.events import UserErased
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import append, registered, renamed
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS, refused_names


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder


async def test_a_stream_that_is_parked_in_both_blocks_no_rebuild_and_stays_parked(
    rebuilder: Rebuilder,
) -> None:
    admin = rebuilder.admin
    good = await rebuilder.read_side.record(registered("good"))
    bad = await rebuilder.read_side.record(registered("ok"))
    await renamed(rebuilder, bad, "bad")
    await renamed(rebuilder, bad, "better", after=2)
    await rebuilder.caught_up("newcomers")
    rebuilt = await rebuilder.rebuild("newcomers")
    assert (rebuilt["compared"]["parked"], rebuilt["compared"]["differing"]) == ([str(bad)], 0)
    [parked] = (await admin.parked("newcomers", 0, 10)).items
    assert (parked.stream, parked.version, parked.events, parked.type) == (
        bad,
        2,
        2,
        "user.renamed",
    )
    assert parked.error.startswith("ValueError (registrations.py:")
    rows = await execute(rebuilder.url, "SELECT id, name, version FROM newcomers_g2 ORDER BY id")
    assert rows == sorted([(good, "good", 1), (bad, "ok", 1)])
    assert await rebuilder.differences() == []
    # Its damaged row is found and repaired like every other.
    await execute(rebuilder.url, "UPDATE newcomers_g2 SET name = 'x' WHERE id = %s", bad)
    found = await rebuilder.verify("newcomers", repair=True)
    assert (found["compared"]["streams"], found["switched"]) == ([str(bad)], True)
    assert await rebuilder.differences(since=3) == []
    result = await admin.skip("newcomers", bad, 2, "a typo", "token:admin")
    assert (result.applied, result.parked) == (2, None)
    await rebuilder.rebuild("newcomers")
    await rebuilder.caught_up("newcomers")
    rows = await execute(rebuilder.url, "SELECT id, name, version FROM newcomers_g4 ORDER BY id")
    assert rows == sorted([(good, "good", 1), (bad, "better", 3)])
    recorded = await execute(rebuilder.url, "SELECT stream, version, reason, actor FROM skipped")
    assert recorded == [(bad, 2, "a typo", "token:admin")]


async def test_no_switch_if_a_stream_is_parked_in_the_new_generation_only(
    rebuilder: Rebuilder,
) -> None:
    await rebuilder.read_side.record(registered("good"))
    bad = await rebuilder.read_side.record(registered("newly bad"))
    await rebuilder.caught_up("newcomers")
    refused_names.add("newly")
    try:
        with pytest.raises(StreamsParked):
            await rebuilder.rebuild("newcomers")
        for repair in (False, True):
            found = await rebuilder.verify("newcomers", repair=repair)
            assert (found["right"], found["switched"]) == (False, False)
            assert found["compared"]["newly_parked"] == [str(bad)]
    finally:
        refused_names.discard("newly")
    assert await rebuilder.generations("newcomers") == [(1, "following")]
    assert (await rebuilder.read_side.queries.progress("users")).generation == 1
    assert (await admin_parked(rebuilder)) == []


async def admin_parked(rebuilder: Rebuilder) -> list[UUID]:
    return [each.stream for each in (await rebuilder.admin.parked("newcomers", 0, 10)).items]


async def test_a_stream_that_the_new_generation_parks_earlier_keeps_its_serving_view(
    rebuilder: Rebuilder,
) -> None:
    streams = [await rebuilder.read_side.record(registered("ok")) for _ in range(2)]
    for stream in streams:
        await renamed(rebuilder, stream, "fine")
        await renamed(rebuilder, stream, "bad", after=2)
    await rebuilder.caught_up("newcomers")
    # The second person is erased: nothing of hers returns.
    await append(rebuilder, streams[1], UserErased(), 3)
    await rebuilder.caught_up("newcomers")
    refused_names.add("fine")
    try:
        rebuilt = await rebuilder.rebuild("newcomers")
    finally:
        refused_names.discard("fine")
    assert (rebuilt["compared"]["differing"], rebuilt["switched"]) == (1, True)
    kept = "SELECT name, version FROM newcomers_g2 WHERE id = %s"
    assert await execute(rebuilder.url, kept, streams[0]) == [("fine", 2)]
    assert await execute(rebuilder.url, kept, streams[1]) == [(None, 4)]
    parked = "SELECT version FROM parked WHERE projection = 'newcomers' AND generation = 2"
    assert await execute(rebuilder.url, parked) == [(3,)]
    assert await rebuilder.differences() == []
    # The cache of the new generation starts over.
    repairs = "SELECT repairs FROM checkpoints WHERE projection = 'newcomers' ORDER BY generation"
    assert await execute(rebuilder.url, repairs) == [(0,), (1,)]


async def test_a_skipped_event_stays_skipped_though_it_could_be_folded_now(
    rebuilder: Rebuilder,
) -> None:
    stream = await rebuilder.read_side.record(registered("ok"))
    await renamed(rebuilder, stream, "bad")
    await rebuilder.caught_up("newcomers")
    await rebuilder.admin.skip("newcomers", stream, 2, "no name of hers", "token:admin")
    refused_names.clear()
    try:
        rebuilt = await rebuilder.rebuild("newcomers")
        assert await rebuilder.differences() == []
    finally:
        refused_names.add("bad")
    assert rebuilt["compared"]["differing"] == 0
    rows = await execute(rebuilder.url, "SELECT name, version FROM newcomers_g2")
    assert rows == [("ok", 2)]


async def test_a_parked_stream_continues_once_the_fold_is_repaired(rebuilder: Rebuilder) -> None:
    admin = rebuilder.admin
    bad = await rebuilder.read_side.record(registered("bad"))
    await renamed(rebuilder, bad, "worse")
    others = [await rebuilder.read_side.record(registered(f"N{n}")) for n in range(5)]
    await rebuilder.caught_up("newcomers")
    first = await admin.retry("newcomers", bad)
    assert first.applied == 0
    assert first.parked is not None
    assert first.parked.version == 1
    refused_names.clear()
    try:
        result = await admin.retry("newcomers", bad)
    finally:
        refused_names.add("bad")
    assert (result.applied, result.parked) == (2, None)
    await renamed(rebuilder, bad, "best", after=2)
    await rebuilder.caught_up("newcomers")
    rows = await execute(rebuilder.url, "SELECT name FROM newcomers_g1 ORDER BY 1")
    assert [name for (name,) in rows] == sorted(["best", *(f"N{n}" for n in range(len(others)))])
    sums = "SELECT counter, value FROM newcomers_g1_counters WHERE value <> 0 ORDER BY 1"
    counters = dict(await execute(rebuilder.url, sums))
    assert (counters["renames:0"], counters["renames:2"]) == (5, 1)
    assert await execute(rebuilder.url, "SELECT * FROM parked") == []
    assert await rebuilder.read_side.differences() == []
