"""A server that is away, a user that fails, a reaction that hangs: the others are not delayed."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.reactions.reaction import ReactionContext, reaction
from domain.event import Event, Recorded
from domain.user.events import UserRegistered, UserRoleChanged
from infrastructure.reactions.schedule import PLACES
from tests.support.reactions.bench import ReactionBench
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute

WAITING: Final = """
INSERT INTO reaction_runs (tenant, reaction, event_id, position, stream, state, due_at)
SELECT 'main', 'mail', gen_random_uuid(), -n, gen_random_uuid(), 'queued', now()
FROM generate_series(1, %s) AS n"""


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[ReactionBench]:
    async with ReactionBench.open(database_url) as bench:
        yield bench


class Away:
    """A reaction whose server is away, and another one that needs no server."""

    def __init__(self, *, hangs: bool) -> None:
        self.begun = 0
        self.seen: list[UUID] = []
        self.is_back = False

        @reaction(name="mail", types=[UserRegistered, UserRoleChanged])
        async def mail(recorded: Recorded[Event], _: ReactionContext) -> None:
            self.begun += 1
            if self.is_back:
                return
            if hangs:
                await asyncio.Event().wait()
            raise Unavailable

        @reaction(name="count", types=[UserRegistered])
        async def count(recorded: Recorded[UserRegistered], _: ReactionContext) -> None:
            self.seen.append(recorded.stream)

        self.reactions = (mail, count)


@pytest.mark.parametrize("hangs", [pytest.param(False, marks=pytest.mark.long), True])
async def test_ten_thousand_runs_on_a_dead_server_delay_no_other_reaction(
    bench: ReactionBench, hangs: bool
) -> None:
    waiting = scaled(1_000)
    away = Away(hangs=hangs)
    async with bench.working(*away.reactions):
        # Events that the log has no more: their runs would be parked, if one began without an outage.
        await bench.register(*[uuid7() for _ in range(40)])
        await bench.until_counts("count", done=40)
        await execute(bench.url, "UPDATE reactions SET discarded_to = -1000000000")
        await execute(bench.url, WAITING, waiting)
        began = monotonic()
        for _ in range(5):
            user = uuid7()
            await bench.register(user)
            await bench.until(lambda user=user: _has(away.seen, user), 5)
        assert monotonic() - began < 5
    ((given,),) = await execute(
        bench.url, "SELECT count(*) FROM procrastinate_jobs WHERE args->>'reaction' = 'mail'"
    )
    assert given <= PLACES


async def _has(seen: list[UUID], user: UUID) -> bool:
    return user in seen


async def test_during_an_outage_one_run_is_tried_and_afterwards_all(bench: ReactionBench) -> None:
    away = Away(hangs=False)
    users = [uuid7() for _ in range(60)]
    async with bench.working(*away.reactions):
        await bench.register(*users)
        await bench.until_counts("count", done=60)
        await bench.until(lambda: _is_paused(bench.url))
        await asyncio.sleep(0.5)
        # The first ones, until it was clear, then one at a time.
        assert away.begun <= 2 * PLACES + 3
        ((parked,),) = await execute(
            bench.url, "SELECT count(*) FROM reaction_runs WHERE state = 'parked'"
        )
        assert parked == 0
        away.is_back = True
        await bench.make_due()
        await bench.until_counts("mail", done=60)
    rows = await execute(bench.url, "SELECT outages, paused_until FROM reactions")
    assert rows == [(0, None), (0, None)]


async def _is_paused(url: str) -> bool:
    rows = await execute(url, "SELECT outages FROM reactions WHERE name = 'mail'")
    return rows[0][0] >= 3


async def test_a_user_whose_runs_hang_or_fail_delays_no_other_user(bench: ReactionBench) -> None:
    """Nor does it look as if the server were away, however often it is tried."""
    hostile = [uuid7(), uuid7()]
    seen: list[UUID] = []

    @reaction(name="mail", types=[UserRegistered], limit=0.3, tries=100)
    async def mail(recorded: Recorded[UserRegistered], _: ReactionContext) -> None:
        if recorded.stream == hostile[0]:
            await asyncio.Event().wait()
        if recorded.stream == hostile[1]:
            raise Unavailable
        seen.append(recorded.stream)

    async with bench.working(mail):
        await bench.register(*hostile)
        for _ in range(4):
            await bench.make_due()
            user = uuid7()
            await bench.register(user)
            await bench.until(lambda user=user: _has(seen, user), 3)
            await asyncio.sleep(0.1)
    errors = await execute(
        bench.url, "SELECT error FROM reaction_runs WHERE stream = %s", hostile[0]
    )
    assert errors == [("The run took longer than its limit.",)]
    assert not await _is_paused(bench.url)
