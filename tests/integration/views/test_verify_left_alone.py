"""Verifying what is parked, cannot be folded or was erased: no false alarm, and nothing made worse."""

from collections.abc import AsyncGenerator

import pytest

from application.verification.repair import PARKED
from domain.user.events import UserErased
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import append, registered, renamed
from tests.support.views.directory import execute
from tests.support.views.newcomers import NEWCOMERS, disliked
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.verifying import verified


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    """Nothing is projected yet."""
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        yield rebuilder


async def _caught_up(rebuilder: Rebuilder) -> None:
    for name in rebuilder.projections:
        await rebuilder.caught_up(name)


async def test_a_parked_stream_is_left_alone_and_said_so(rebuilder: Rebuilder) -> None:
    async with rebuilder.projecting():
        bad = await rebuilder.read_side.record(registered("ok"))
        await renamed(rebuilder, bad, "bad")
        await renamed(rebuilder, bad, "better", after=2)
        await rebuilder.caught_up("newcomers")
    [slot] = await verified(rebuilder, "newcomers")
    assert (slot.right, slot.parked, slot.differing, slot.log.events) == (True, 1, 0, 1)
    await execute(rebuilder.url, "UPDATE newcomers_g1 SET name = 'x', name_key = 'x'")
    [slot] = await verified(rebuilder, "newcomers", repair=True)
    assert (slot.right, slot.differing, slot.repaired) == (False, 1, 0)
    assert [(each.stream, each.reason) for each in slot.left] == [(bad, PARKED)]
    assert await execute(rebuilder.url, "SELECT name FROM newcomers_g1") == [("x",)]


async def test_what_cannot_be_folded_any_more_is_left_alone(rebuilder: Rebuilder) -> None:
    disliked.clear()
    try:
        async with rebuilder.projecting():
            bad = await rebuilder.read_side.record(registered("bad"))
            await rebuilder.caught_up("newcomers")
    finally:
        disliked.add("bad")
    [slot] = await verified(rebuilder, "newcomers", repair=True)
    assert (slot.right, slot.differing, slot.repaired) == (False, 1, 0)
    [left] = slot.left
    assert left.stream == bad
    assert left.reason.startswith("cannot be folded: ValueError (newcomers.py:")
    assert await execute(rebuilder.url, "SELECT name FROM newcomers_g1") == [("bad",)]


async def test_a_person_erased_after_the_checkpoint_is_no_difference(rebuilder: Rebuilder) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("Secret"))
        other = await rebuilder.read_side.record(registered("Other"))
        await _caught_up(rebuilder)
    await append(rebuilder, user, UserErased(), 1)
    [slot] = await verified(rebuilder, "users")
    assert slot.right
    # A key that went without an erasure is one.
    await execute(rebuilder.url, "DELETE FROM subject_keys WHERE subject = %s", other)
    [slot] = await verified(rebuilder, "users")
    assert slot.streams == [other]


async def test_a_repair_while_the_erasure_waits_shows_nothing_of_the_person(
    rebuilder: Rebuilder,
) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("Secret"))
        await _caught_up(rebuilder)
    await append(rebuilder, user, UserErased(), 1)
    await execute(rebuilder.url, "UPDATE users_g1 SET chain = 'wrong'")
    [slot] = await verified(rebuilder, "users", repair=True)
    assert (slot.right, slot.repaired) == (True, 1)
    assert await execute(rebuilder.url, "SELECT version, name FROM users_g1") == [(1, None)]
    async with rebuilder.projecting():
        await _caught_up(rebuilder)
    assert await execute(rebuilder.url, "SELECT status FROM users_g1") == [("erased",)]
    assert await rebuilder.differences() == []


async def test_streams_without_a_row_do_not_hide_those_before_them(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is read by pages of three tables, of which one may be far ahead."""
    monkeypatch.setattr("application.verification.verify._PAGE_STREAMS", 2)
    async with rebuilder.projecting():
        for name in ("A", "B", "C", "D", "E"):
            await rebuilder.read_side.record(registered(name))
        await rebuilder.read_side.record(registered("bad"))
        await rebuilder.caught_up("newcomers")
    [slot] = await verified(rebuilder, "newcomers")
    assert (slot.right, slot.parked, slot.log.events, slot.views.events) == (True, 1, 5, 5)
