"""Runs of reactions: one for each event, in the order of each user, retried, then parked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.reactions.reaction import ReactionContext, ReactionFailed, reaction
from domain.event import ERASED, Recorded
from domain.user.events import UserRegistered, UserRoleChanged
from tests.support.reactions.bench import ReactionBench
from tests.support.views.directory import execute


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[ReactionBench]:
    async with ReactionBench.open(database_url) as bench:
        yield bench


class Seen:
    """A reaction to registrations and changes of role that notes what it gets."""

    def __init__(self, *, opens: bool = False, tries: int = 3) -> None:
        self.positions: list[tuple[UUID, int]] = []
        self.events: list[Any] = []
        self.attempts: list[int] = []
        self.fails: dict[UUID, Exception] = {}

        @reaction(name="seen", types=[UserRegistered, UserRoleChanged], opens=opens, tries=tries)
        async def seen(recorded: Recorded[Any], context: ReactionContext) -> None:
            """Notes what it gets."""
            self.attempts.append(context.attempt)
            if error := self.fails.get(recorded.stream):
                raise error
            self.events.append(recorded.event)
            self.positions.append((recorded.stream, recorded.position))

        self.reaction = seen


async def test_an_event_is_reacted_to_once(bench: ReactionBench) -> None:
    seen = Seen()
    async with bench.working(seen.reaction):
        position = (await bench.register()).position
        await bench.until_counts("seen", done=1)
    assert [each for _, each in seen.positions] == [position]
    assert await execute(bench.url, "SELECT * FROM procrastinate_jobs") == []


async def test_personal_fields_are_opened_only_for_a_reaction_that_asks(
    bench: ReactionBench,
) -> None:
    for opens, name in ((False, ERASED), (True, "Åsa")):
        seen = Seen(opens=opens)
        await execute(bench.url, "DELETE FROM reaction_runs")
        async with bench.working(seen.reaction):
            await bench.register(name="Åsa")
            await bench.until_counts("seen", done=1)
        assert [event.name for event in seen.events] == [name]


async def test_a_reaction_begins_at_the_head_of_the_log(bench: ReactionBench) -> None:
    await bench.register()
    seen = Seen()
    async with bench.working(seen.reaction):
        await bench.register()
        await bench.until_counts("seen", done=1)


async def test_made_up_events_start_no_reaction(bench: ReactionBench) -> None:
    seen = Seen()
    async with bench.working(seen.reaction):
        await bench.register(actor="system:seed")
        await bench.register()
        await bench.until_counts("seen", done=1)


async def test_runs_for_one_user_keep_their_order(bench: ReactionBench) -> None:
    seen = Seen()
    users = [uuid7() for _ in range(5)]
    async with bench.working(seen.reaction):
        await bench.register(*users)
        for user in users:
            await bench.change_role(user, 6)
        await bench.until_counts("seen", done=35)
    for user in users:
        positions = [position for stream, position in seen.positions if stream == user]
        assert positions == sorted(positions)
        assert len(positions) == 7


async def test_a_user_is_parked_after_the_last_try_and_later_events_wait(
    bench: ReactionBench,
) -> None:
    seen = Seen(tries=2)
    broken, well = uuid7(), uuid7()
    seen.fails[broken] = ValueError("someone@example.com")
    async with bench.working(seen.reaction):
        await bench.register(broken)
        await bench.until_counts("seen", queued=1)
        await bench.make_due()
        await bench.until_counts("seen", parked=1)
        await bench.change_role(broken, 2)
        await bench.register(well)
        await bench.change_role(well)
        await bench.until_counts("seen", parked=1, waiting=2, done=2)
    ((error, tries),) = await execute(
        bench.url, "SELECT error, tries FROM reaction_runs WHERE state = 'parked'"
    )
    assert tries == 2
    assert "ValueError" in error
    assert "example.com" not in error


async def test_a_failure_for_good_parks_at_once(bench: ReactionBench) -> None:
    seen = Seen()
    user = uuid7()
    seen.fails[user] = ReactionFailed("the address is refused")
    async with bench.working(seen.reaction):
        await bench.register(user)
        await bench.until_counts("seen", parked=1)
    rows = await execute(bench.url, "SELECT error, tries FROM reaction_runs")
    assert rows == [("the address is refused", 1)]


async def test_an_outage_does_not_count_as_a_try(bench: ReactionBench) -> None:
    seen = Seen(tries=1)
    user = uuid7()
    seen.fails[user] = Unavailable()
    async with bench.working(seen.reaction):
        await bench.register(user)
        for attempt in range(1, 4):
            await bench.until(lambda n=attempt: _reached(seen, n))
            await bench.until_counts("seen", queued=1)
            await bench.make_due()
        seen.fails.clear()
        await bench.make_due()
        await bench.until_counts("seen", done=1)
    rows = await execute(bench.url, "SELECT tries, error, outages FROM reaction_runs")
    assert rows == [(0, None, 0)]


async def _reached(seen: Seen, attempts: int) -> bool:
    return len(seen.attempts) >= attempts


async def test_the_events_of_an_erased_person_are_skipped(bench: ReactionBench) -> None:
    seen = Seen()
    user = uuid7()
    seen.fails[user] = ReactionFailed("not yet")
    async with bench.working(seen.reaction):
        await bench.register(user)
        await bench.until_counts("seen", parked=1)
        await bench.change_role(user)
        await bench.erase(user)
        seen.fails.clear()
        await execute(bench.url, "UPDATE reaction_runs SET state = 'queued' WHERE state = 'parked'")
        await bench.until_counts("seen", skipped=2)
    assert seen.positions == []
    errors = await execute(bench.url, "SELECT DISTINCT error FROM reaction_runs")
    assert errors == [("the person was erased",)]


async def test_the_queue_holds_no_more_than_names_and_numbers(bench: ReactionBench) -> None:
    """The stored form of an entry; no release may change it."""
    held, go_on = asyncio.Event(), asyncio.Event()

    @reaction(name="hold", types=[UserRegistered])
    async def hold(_: Recorded[UserRegistered], __: ReactionContext) -> None:
        held.set()
        await go_on.wait()

    async with bench.working(hold):
        appended = await bench.register()
        await held.wait()
        rows = await execute(
            bench.url, "SELECT queue_name, task_name, args, lock FROM procrastinate_jobs"
        )
        go_on.set()
        await bench.until_counts("hold", done=1)
    arguments = {
        "event": str(appended.events[0].event_id),
        "position": appended.position,
        "reaction": "hold",
    }
    assert rows == [("reactions", "reaction", arguments, None)]
