"""Each reaction to each event is queued once, even if workers die; its runs keep the order of the user."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.reactions.reaction import Reaction, ReactionContext, reaction
from domain.event import Event, Recorded
from domain.user.events import UserRegistered, UserRoleChanged
from tests.integration.jobs.test_outages import SomeAnswersLost
from tests.support.processes.reaction_worker import noting as noting_in
from tests.support.reactions.bench import ReactionBench
from tests.support.run.background import module_process
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute

WORKER: Final = "tests.support.processes.reaction_worker"
STARTING: Final = """
SELECT count(*), count(DISTINCT run.event_id) FROM stored_events AS event
LEFT JOIN reaction_runs AS run ON run.event_id = event.event_id AND run.reaction = %s
    AND run.position = event.notification_id"""


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[ReactionBench]:
    async with ReactionBench.open(database_url) as bench:
        yield bench


def noting(noted: list[tuple[UUID, int]]) -> Reaction:
    @reaction(name="note", types=[UserRegistered, UserRoleChanged])
    async def note(recorded: Recorded[Event], _: ReactionContext) -> None:
        """Notes the event."""
        await asyncio.sleep(0.001)
        noted.append((recorded.stream, recorded.position))

    return note


async def record(bench: ReactionBench, users: int, changes: int) -> int:
    """So many users, with as many changes each; the number of events."""
    streams = [uuid7() for _ in range(users)]
    await bench.register(*streams)
    for _ in range(changes):
        await asyncio.gather(*(bench.change_role(stream) for stream in streams))
    return users * (changes + 1)


async def assert_queued_once(url: str, events: int) -> None:
    ((rows, queued),) = await execute(url, STARTING, "note")
    assert rows == queued == events
    ((runs,),) = await execute(url, "SELECT count(*) FROM reaction_runs")
    assert runs == events


def in_order(noted: list[tuple[UUID, int]]) -> bool:
    positions = defaultdict[UUID, list[int]](list)
    for stream, position in noted:
        positions[stream].append(position)
    return all(each == sorted(each) for each in positions.values())


async def test_two_workers_share_the_runs(bench: ReactionBench) -> None:
    noted: list[tuple[UUID, int]] = []
    async with ReactionBench.open(bench.url) as other:
        async with bench.working(noting(noted)), other.working(noting(noted)):
            events = await record(bench, 10, 3)
            await bench.until_counts("note", done=events)
    await assert_queued_once(bench.url, events)
    assert len(noted) == len(set(noted)) == events
    assert in_order(noted)


async def test_lost_answers_to_commits_queue_nothing_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of pages and of schedules, one in three."""
    monkeypatch.setattr("interfaces.composition.event_store.Database", SomeAnswersLost)
    noted: list[tuple[UUID, int]] = []
    async with ReactionBench.open(database_url) as bench:
        async with bench.working(noting(noted)):
            events = await record(bench, 4, scaled(5))
            await bench.until_counts("note", done=events, seconds=40)
        await assert_queued_once(database_url, events)
    assert len(noted) == len(set(noted)) == events
    assert in_order(noted)


async def test_a_killed_worker_leaves_no_run_behind(bench: ReactionBench, tmp_path: Path) -> None:
    file = tmp_path / "noted"
    async with module_process(WORKER, bench.url, str(file)) as first:
        events = await record(bench, 20, 2)
        async with asyncio.timeout(20):
            while not file.exists() or len(file.read_text().splitlines()) < 8:
                await asyncio.sleep(0.01)
        first.kill()
        await first.wait()
    async with bench.working(noting_in(file)):
        await bench.until_counts("note", done=events, seconds=40)
    await assert_queued_once(bench.url, events)
    lines = [line.split() for line in file.read_text().splitlines()]
    noted = [(UUID(stream), int(position)) for stream, position in lines]
    assert len(set(noted)) == events
    # The runs that were interrupted may have been done twice, but not after a later one.
    assert in_order(noted)
    assert len(noted) - events <= 16


async def test_reactions_go_on_after_the_log_moved(database_url: str) -> None:
    """As after a restore: positions jump to the next multiple of 10¹²."""
    noted: list[tuple[UUID, int]] = []
    async with ReactionBench.open(database_url) as bench, bench.working(noting(noted)):
        await bench.register()
        await bench.until_counts("note", done=1)
    await execute(database_url, "UPDATE log SET system_identifier = 'another server'")
    async with ReactionBench.open(database_url) as bench:
        position = (await bench.register()).position
        assert position == 10**12
        async with bench.working(noting(noted)):
            await bench.until_counts("note", done=2)
    assert noted[-1][1] == position


@pytest.mark.long
async def test_a_process_of_a_release_without_a_reaction_does_not_lead(
    bench: ReactionBench,
) -> None:
    """It would go past the events that start it, in the middle of a deployment."""

    @reaction(name="newer", types=[UserRoleChanged])
    async def newer(_: Recorded[Event], __: ReactionContext) -> None:
        """Does nothing."""

    note, user = noting([]), uuid7()
    async with ReactionBench.open(bench.url) as other, bench.working(note):
        await bench.register(user)
        await bench.until_counts("note", done=1)
        async with other.working(note, newer):
            await execute(bench.url, "UPDATE reactions SET seen_at = now()")
            for _ in range(5):
                await bench.change_role(user)
            await bench.until_counts("newer", done=5)
        # The newer release is gone for good.
        await execute(bench.url, "UPDATE reactions SET seen_at = now() - interval '1 minute'")
        await bench.change_role(user)
        await bench.until_counts("note", done=7)
    assert await bench.counts("newer") == {"done": 5}
