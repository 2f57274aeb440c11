"""Skips of parked events, and skips that are taken back: every view is that of a fresh fold."""

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from application.projector.parked import AnotherEventFirst, NothingParked, NotSkipped
from application.projector.rebuild import prepare
from domain.user.events import UserErased
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import append, registered, renamed
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder, ignore_progress
from tests.support.views.registrations import NEWCOMERS, refused_names

ROWS = "SELECT name, renames FROM newcomers_g{} WHERE id = %s"
RECORD = "SELECT version, reason, actor, removed_at IS NULL, removed_by FROM skipped"


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder
    refused_names.clear()
    refused_names.add("bad")


async def skipped(rebuilder: Rebuilder) -> UUID:
    """A stream of three events, the second of which is skipped."""
    stream = await rebuilder.read_side.record(registered("ok"))
    await renamed(rebuilder, stream, "bad")
    await renamed(rebuilder, stream, "better", after=2)
    await rebuilder.caught_up("newcomers")
    result = await rebuilder.admin.skip("newcomers", stream, 2, "a typo", "token:a")
    assert (result.applied, result.parked) == (2, None)
    return stream


async def shown(rebuilder: Rebuilder, stream: UUID, generation: int = 1) -> object:
    return await execute(rebuilder.url, ROWS.format(generation), stream)


async def test_a_second_skip_of_the_same_event_records_nothing_more(rebuilder: Rebuilder) -> None:
    stream = await skipped(rebuilder)
    again = await rebuilder.admin.skip("newcomers", stream, 2, "another", "token:b")
    assert (again.applied, again.parked) == (0, None)
    assert await execute(rebuilder.url, RECORD) == [(2, "a typo", "token:a", True, None)]


async def test_a_skip_names_the_first_parked_event_or_is_refused(rebuilder: Rebuilder) -> None:
    stream = await rebuilder.read_side.record(registered("bad"))
    await renamed(rebuilder, stream, "ok")
    await rebuilder.caught_up("newcomers")
    with pytest.raises(AnotherEventFirst) as refusal:
        await rebuilder.admin.skip("newcomers", stream, 2, "no", "token:a")
    assert refusal.value.version == 1
    with pytest.raises(NothingParked):
        await rebuilder.admin.skip("newcomers", UUID(int=7), 1, "no", "token:a")
    assert await execute(rebuilder.url, RECORD) == []


async def test_a_skip_that_is_taken_back_is_folded_in_every_generation(
    rebuilder: Rebuilder,
) -> None:
    stream = await skipped(rebuilder)
    await rebuilder.rebuild("newcomers")
    assert await shown(rebuilder, stream, 2) == [("better", 1)]
    refused_names.clear()
    for _ in range(2):
        result = await rebuilder.admin.unskip("newcomers", stream, 2, "token:b")
        assert (result.applied, result.parked) == (3, None)
    for generation in (1, 2):
        assert await shown(rebuilder, stream, generation) == [("better", 2)]
    assert await execute(rebuilder.url, RECORD) == [(2, "a typo", "token:a", False, "token:b")]
    assert await rebuilder.differences() == []
    found = await rebuilder.verify("newcomers")
    assert found["right"]


async def test_an_event_that_still_cannot_be_folded_is_parked_again(rebuilder: Rebuilder) -> None:
    stream = await skipped(rebuilder)
    result = await rebuilder.admin.unskip("newcomers", stream, 2, "token:b")
    assert result.parked is not None
    assert (result.applied, result.parked.version) == (1, 2)
    [parked] = (await rebuilder.admin.parked("newcomers", 0, 10)).items
    assert (parked.stream, parked.version, parked.events) == (stream, 2, 2)
    assert await shown(rebuilder, stream) == [("ok", 0)]
    assert await rebuilder.differences() == []
    # The new decision is recorded in place of the old one.
    await rebuilder.admin.skip("newcomers", stream, 2, "still a typo", "token:c")
    assert await execute(rebuilder.url, RECORD) == [(2, "still a typo", "token:c", True, None)]
    assert await shown(rebuilder, stream) == [("better", 1)]


async def test_the_first_event_that_still_cannot_be_folded_leaves_no_row(
    rebuilder: Rebuilder,
) -> None:
    stream = await rebuilder.read_side.record(registered("bad"))
    await rebuilder.caught_up("newcomers")
    await rebuilder.admin.skip("newcomers", stream, 1, "a typo", "token:a")
    result = await rebuilder.admin.unskip("newcomers", stream, 1, "token:b")
    assert (result.applied, result.parked is not None) == (0, True)
    assert await shown(rebuilder, stream) == []
    assert await rebuilder.differences() == []


async def test_a_person_erased_after_the_skip_stays_erased(rebuilder: Rebuilder) -> None:
    stream = await skipped(rebuilder)
    await append(rebuilder, stream, UserErased(), 3)
    await rebuilder.caught_up("newcomers")
    result = await rebuilder.admin.unskip("newcomers", stream, 2, "token:b")
    assert (result.applied, result.parked) == (4, None)
    assert await shown(rebuilder, stream) == [(None, None)]
    assert await rebuilder.differences() == []


async def test_a_view_that_the_database_refuses_is_parked_again(rebuilder: Rebuilder) -> None:
    stream = await rebuilder.read_side.record(registered("ok"))
    await renamed(rebuilder, stream, "a\x00b")
    await rebuilder.caught_up("newcomers")
    await rebuilder.admin.skip("newcomers", stream, 2, "no text", "token:a")
    result = await rebuilder.admin.unskip("newcomers", stream, 2, "token:b")
    assert result.parked is not None
    assert (result.parked.version, result.parked.error) == (2, "UntranslatableCharacter")
    assert await shown(rebuilder, stream) == [("ok", 0)]
    assert await rebuilder.differences() == []


async def test_a_skip_that_is_taken_back_during_a_build_is_not_in_it(rebuilder: Rebuilder) -> None:
    stream = await skipped(rebuilder)
    refused_names.clear()
    projection = rebuilder.projections["newcomers"]
    async with rebuilder.ports.generations.build(projection, "test") as build:
        assert build.progress.skipped == {(stream, 2)}
        await rebuilder.admin.unskip("newcomers", stream, 2, "token:b")
        await prepare(build, rebuilder.ports, ignore_progress)
    assert await shown(rebuilder, stream, 2) == [("better", 2)]
    assert await rebuilder.differences() == []


async def test_only_a_skip_can_be_taken_back(rebuilder: Rebuilder) -> None:
    stream = await skipped(rebuilder)
    for version in (1, 3, 9):
        with pytest.raises(NotSkipped):
            await rebuilder.admin.unskip("newcomers", stream, version, "token:b")
