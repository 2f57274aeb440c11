"""Builds that are cancelled, stopped or replaced in any phase: what was asked decides what stays."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from application.projector.generations import NotProjected
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from tests.support.views.directory import execute
from tests.support.views.stopped_builds import PHASES, Phase, StoppedBuild

SERVING = [(1, "following")]


@pytest.fixture
async def build(database_url: str) -> AsyncGenerator[StoppedBuild]:
    async with StoppedBuild.open(database_url) as build:
        yield build


@pytest.mark.parametrize("phase", PHASES)
async def test_a_cancel_in_any_phase_leaves_nothing_of_the_build(
    build: StoppedBuild, phase: Phase
) -> None:
    async with build.bench.working(*build.kinds):
        async with build.stopped_in(phase) as job:
            await build.bench.jobs.cancel(job.id)
            # The statement ends in the server, too.
            await build.until_blocked(phase, is_blocked=False)
        done = await build.bench.wait_for(job)
        assert (done.state, done.attempts) == ("cancelled", 1)
        assert await build.left() == SERVING
        # And nothing stands in the way of the next one.
        async with build.rebuilder.projecting():
            following = await build.bench.submit("rebuild", {"projection": "users"})
            done = await build.bench.wait_for(following)
    assert (done.result or {})["generation"] == 3


@pytest.mark.parametrize("phase", PHASES)
async def test_a_run_that_was_replaced_leaves_the_build_to_its_successor(
    build: StoppedBuild, phase: Phase
) -> None:
    async with build.bench.working(*build.kinds):
        async with build.stopped_in(phase) as job:
            # As after a freeze: the job has another run by now.
            await execute(build.rebuilder.url, "UPDATE jobs SET attempts = attempts + 1")
            await _until_no_run_is_left(build)
        assert await build.rebuilder.generations() == [
            *SERVING,
            (2, "filling" if phase in ("backfill", "index") else "following"),
        ]
        async with build.rebuilder.projecting():
            built = await build.rebuilder.rebuild(by=str(job.id))
    assert (built["generation"], built["switched"]) == (2, True)


@pytest.mark.parametrize("phase", PHASES)
async def test_the_stop_of_a_worker_keeps_the_build_until_the_job_is_cancelled(
    build: StoppedBuild, phase: Phase
) -> None:
    async with build.bench.working(*build.kinds):
        stopped = build.stopped_in(phase)
        job = await stopped.__aenter__()
    assert (await build.bench.wait_for(job, "queued")).attempts == 1
    await stopped.__aexit__(None, None, None)
    expired = PostgresExpiredGenerations(build.rebuilder.database)
    assert await expired.drop_expired() == []
    assert len(await build.rebuilder.generations()) == 2
    cancelled = await build.bench.jobs.cancel(job.id)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert await expired.drop_expired() == ["users/2"]
    assert await build.left() == SERVING


async def test_a_build_that_nobody_projects_keeps_no_place(
    build: StoppedBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.projector.rebuild._STANDSTILL_SECONDS", 0.2)
    async with build.bench.working(*build.kinds):
        async with build.stopped_in("waiting") as job:
            waiting = await build.bench.wait_until(job, lambda job: job.attempts > 2)
            assert waiting.error == f"NotProjected: {NotProjected.__doc__}"
        async with build.rebuilder.projecting():
            done = await build.bench.wait_for(job)
    assert (done.result or {})["generation"] == 2


async def _until_no_run_is_left(build: StoppedBuild) -> None:
    entries = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"
    async with asyncio.timeout(10):
        while (await execute(build.rebuilder.url, entries))[0][0]:
            await asyncio.sleep(0.02)
