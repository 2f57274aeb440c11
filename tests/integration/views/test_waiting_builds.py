"""Builds that wait: their jobs say why, and they hold up no other build."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from application.projector.generations import RebuildUnderWay, TooManyToDrop
from application.projector.rebuild_jobs import rebuild_jobs
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from projections.users import USERS
from tests.support.doubles.notifications import InMemoryNotifications
from tests.support.jobs.jobs import Bench
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

BEGIN_SECONDS = 2.0


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url) as rebuilder, rebuilder.projecting():
        yield rebuilder


async def test_a_rebuild_waits_while_too_many_generations_wait_to_be_dropped(
    rebuilder: Rebuilder,
) -> None:
    await execute(
        rebuilder.url,
        """INSERT INTO generations (tenant, projection, generation, partitions, state, served_at, drop_after)
        SELECT 'main', 'users', 100 + n, 1, 'dropping', now(), now() + interval '1 hour'
        FROM generate_series(1, 51) n""",
    )
    async with Bench.in_postgres(rebuilder.url) as bench:
        notifier = InMemoryNotifications(MemoryDoorbell(), uuid7, lambda: datetime.now(UTC))
        job = await bench.submit("rebuild", {"projection": "users"})
        async with bench.working(*rebuild_jobs([USERS], rebuilder.ports, notifier)):
            waiting = await bench.wait_until(job, lambda job: job.attempts > 1)
            assert waiting.error == f"TooManyToDrop: {TooManyToDrop.__doc__}"
            await execute(
                rebuilder.url, "UPDATE generations SET drop_after = now() WHERE state = 'dropping'"
            )
            await PostgresExpiredGenerations(rebuilder.database).drop_expired()
            assert (await bench.wait_for(job)).state == "succeeded"


async def test_a_rebuild_says_that_it_waits_for_another_one(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.views.generations.store._TIMEOUT_SECONDS", 0.2)
    notifier = InMemoryNotifications(MemoryDoorbell(), uuid7, lambda: datetime.now(UTC))
    kinds = rebuild_jobs([USERS], rebuilder.ports, notifier)
    async with Bench.in_postgres(rebuilder.url) as bench, bench.working(*kinds):
        async with rebuilder.ports.generations.build(USERS, "another"):
            job = await bench.submit("rebuild", {"projection": "users"})
            waiting = await bench.wait_until(job, lambda job: job.error is not None)
        assert waiting.error == f"BuildWaits: {RebuildUnderWay.__doc__}"
        assert (await bench.wait_for(job)).state == "succeeded"


async def test_builds_that_wait_for_one_projection_hold_up_no_build_of_another(
    rebuilder: Rebuilder,
) -> None:
    notifier = InMemoryNotifications(MemoryDoorbell(), uuid7, lambda: datetime.now(UTC))
    kinds = rebuild_jobs(rebuilder.projections.values(), rebuilder.ports, notifier)
    async with (
        Bench.in_postgres(rebuilder.url) as bench,
        rebuilder.ports.generations.build(USERS, "another"),
        bench.working(*kinds, places=2),
    ):
        for kind, arguments in [("rebuild", {}), ("verify", {}), ("verify", {"repair": True})]:
            await bench.submit(kind, {"projection": "users", **arguments})
        await asyncio.sleep(0.2)
        done = await bench.wait_for(await bench.submit("rebuild", {"projection": "headcount"}))
    assert done.state == "succeeded"
    assert done.started_at is not None
    assert (done.started_at - done.created_at).total_seconds() < BEGIN_SECONDS
