"""Verification of parked, unfoldable and erased streams: no false difference, no wrong repair."""

from collections.abc import AsyncGenerator

import pytest

from application.verification.repair import PARKED
from domain.user.events import UserErased
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import append, registered, renamed
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS, refused_names
from tests.support.views.verifying import verify_projection


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    """Without running projectors."""
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        yield rebuilder


async def _caught_up(rebuilder: Rebuilder) -> None:
    for name in rebuilder.projections:
        await rebuilder.caught_up(name)


async def test_a_parked_stream_is_not_repaired_and_is_reported(rebuilder: Rebuilder) -> None:
    async with rebuilder.projecting():
        bad = await rebuilder.read_side.record(registered("ok"))
        await renamed(rebuilder, bad, "bad")
        await renamed(rebuilder, bad, "better", after=2)
        await rebuilder.caught_up("newcomers")
    [slot] = await verify_projection(rebuilder, "newcomers")
    assert (slot.matches, slot.parked, slot.differing, slot.log.events) == (True, 1, 0, 1)
    await execute(rebuilder.url, "UPDATE newcomers_g1 SET name = 'x', name_key = 'x'")
    [slot] = await verify_projection(rebuilder, "newcomers", repair=True)
    assert (slot.matches, slot.differing, slot.repaired) == (False, 1, 0)
    assert [(each.stream, each.reason) for each in slot.left] == [(bad, PARKED)]
    assert await execute(rebuilder.url, "SELECT name FROM newcomers_g1") == [("x",)]


async def test_a_stream_that_cannot_be_folded_any_more_is_not_repaired(
    rebuilder: Rebuilder,
) -> None:
    refused_names.clear()
    try:
        async with rebuilder.projecting():
            bad = await rebuilder.read_side.record(registered("bad"))
            await rebuilder.caught_up("newcomers")
    finally:
        refused_names.add("bad")
    [slot] = await verify_projection(rebuilder, "newcomers", repair=True)
    assert (slot.matches, slot.differing, slot.repaired) == (False, 1, 0)
    [left] = slot.left
    assert left.stream == bad
    assert left.reason.startswith("cannot be folded: ValueError (registrations.py:")
    assert await execute(rebuilder.url, "SELECT name FROM newcomers_g1") == [("bad",)]


async def test_a_person_erased_after_the_checkpoint_is_no_difference(rebuilder: Rebuilder) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("Secret"))
        other = await rebuilder.read_side.record(registered("Other"))
        await _caught_up(rebuilder)
    await append(rebuilder, user, UserErased(), 1)
    [slot] = await verify_projection(rebuilder, "users")
    assert slot.matches
    # A key that was deleted without an erasure is a difference.
    await execute(rebuilder.url, "DELETE FROM subject_keys WHERE subject = %s", other)
    [slot] = await verify_projection(rebuilder, "users")
    assert slot.streams == [other]


async def test_a_repair_before_a_pending_erasure_shows_nothing_of_the_person(
    rebuilder: Rebuilder,
) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("Secret"))
        await _caught_up(rebuilder)
    await append(rebuilder, user, UserErased(), 1)
    await execute(rebuilder.url, "UPDATE users_g1 SET chain = 'wrong'")
    [slot] = await verify_projection(rebuilder, "users", repair=True)
    assert (slot.matches, slot.repaired) == (True, 1)
    assert await execute(rebuilder.url, "SELECT version, name FROM users_g1") == [(1, None)]
    async with rebuilder.projecting():
        await _caught_up(rebuilder)
    assert await execute(rebuilder.url, "SELECT status FROM users_g1") == [("erased",)]
    assert await rebuilder.differences() == []


async def test_streams_without_a_row_do_not_hide_those_before_them(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification reads pages of three tables, of which one may be far ahead."""
    monkeypatch.setattr("application.verification.verify._PAGE_STREAMS", 2)
    async with rebuilder.projecting():
        for name in ("A", "B", "C", "D", "E"):
            await rebuilder.read_side.record(registered(name))
        await rebuilder.read_side.record(registered("bad"))
        await rebuilder.caught_up("newcomers")
    [slot] = await verify_projection(rebuilder, "newcomers")
    assert (slot.matches, slot.parked, slot.log.events, slot.views.events) == (True, 1, 5, 5)
